#include "tools/symbols/split_package.h"

#include <dwarf.h>
#include <gelf.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "tools/symbols/unit_rewriting.h"

namespace memtrace::tools {
namespace {

// The content of a section, uncompressed; empty if there is none.
std::string_view SectionContent(Elf* elf, std::string_view wanted) {
  size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0) return {};
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* name = elf_strptr(elf, names, header.sh_name);
    if (name == nullptr || name != wanted) continue;
    if ((header.sh_flags & SHF_COMPRESSED) != 0 && elf_compress(section, 0, 0) < 0) return {};
    const Elf_Data* data = elf_getdata(section, nullptr);
    if (data == nullptr || data->d_buf == nullptr) return {};
    return {static_cast<const char*>(data->d_buf), data->d_size};
  }
  return {};
}

template <typename Number>
std::optional<Number> NumberAt(std::string_view bytes, uint64_t offset) {
  Number number;
  if (offset > bytes.size() || bytes.size() - offset < sizeof(number)) return std::nullopt;
  std::memcpy(&number, bytes.data() + offset, sizeof(number));
  return number;
}

// Of a unit's attribute that is an offset; 0 if it has none.
Dwarf_Word OffsetOr0(Dwarf_Die* unit, unsigned int name, unsigned int older_name) {
  Dwarf_Attribute attribute;
  Dwarf_Word offset = 0;
  for (const unsigned int candidate : {name, older_name}) {
    if (dwarf_formudata(dwarf_attr(unit, candidate, &attribute), &offset) == 0) return offset;
  }
  return 0;
}

std::string_view From(std::string_view section, uint64_t offset) {
  return section.substr(std::min<uint64_t>(offset, section.size()));
}

// Length (4 bytes), version, and two bytes that differ: what tables of DWARF 5 begin with.
constexpr uint64_t kTableHeader = 8;
// Tables of DWARF 4 do not tell where a unit's part ends. No unit needs more.
constexpr uint64_t kMostBytesWithoutHeader = 256 << 10;

// The unit's part of the program's address table, in whole addresses.
std::string_view UnitAddresses(Elf* program, Dwarf_Die* skeleton, bool has_header) {
  const std::string_view table = SectionContent(program, ".debug_addr");
  const uint64_t base = OffsetOr0(skeleton, DW_AT_addr_base, DW_AT_GNU_addr_base);
  uint64_t bytes = kMostBytesWithoutHeader;
  if (has_header) {
    constexpr uint64_t kBehindLength = kTableHeader - sizeof(uint32_t);
    const uint32_t length = base >= kTableHeader ? NumberAt<uint32_t>(table, base - kTableHeader).value_or(0) : 0;
    bytes = length >= kBehindLength ? length - kBehindLength : 0;
  }
  const std::string_view part = From(table, base).substr(0, bytes);
  return part.substr(0, part.size() / 8 * 8);
}

}  // namespace

std::unique_ptr<SplitPackage> SplitPackage::Open(const std::string& path) {
  auto package = std::make_unique<SplitPackage>();
  package->file_ = ElfFile::Open(path);
  if (!package->file_) return nullptr;
  package->elf_.reset(elf_begin(package->file_->fd(), ELF_C_READ_MMAP, nullptr));
  GElf_Ehdr header;
  Elf* elf = package->elf_.get();
  // What we make of it is for 64 bits, and the lowest byte first.
  if (elf == nullptr || gelf_getehdr(elf, &header) == nullptr || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return nullptr;
  }
  static constexpr std::string_view kNames[kParts] = {".debug_info.dwo", ".debug_abbrev.dwo", ".debug_line.dwo",
                                                      ".debug_str_offsets.dwo", ".debug_rnglists.dwo"};
  for (size_t i = 0; i < kParts; ++i) package->sections_[i] = SectionContent(elf, kNames[i]);
  package->strings_ = SectionContent(elf, ".debug_str.dwo");
  return package->ReadIndex() ? std::move(package) : nullptr;
}

// Version, columns, units and slots; a hash table of ids with a row number each (0: free); the columns' meanings; then
// a row of offsets for each unit, and a row of sizes for each.
bool SplitPackage::ReadIndex() {
  const std::string_view index = SectionContent(elf_.get(), ".debug_cu_index");
  const uint32_t version = NumberAt<uint32_t>(index, 0).value_or(0) & 0xffff;
  const uint64_t columns = NumberAt<uint32_t>(index, 4).value_or(0);
  const uint64_t units = NumberAt<uint32_t>(index, 8).value_or(0);
  const uint64_t slots = NumberAt<uint32_t>(index, 12).value_or(0);
  if ((version != 2 && version != 5) || columns == 0 || columns > 8) return false;
  const uint64_t rows_at = 16;
  const uint64_t numbers_at = rows_at + slots * 8;
  const uint64_t meanings_at = numbers_at + slots * 4;
  const uint64_t offsets_at = meanings_at + columns * 4;
  if (offsets_at + units * columns * 8 > index.size()) return false;
  for (uint64_t slot = 0; slot < slots; ++slot) {
    const uint32_t row = *NumberAt<uint32_t>(index, numbers_at + slot * 4);
    if (row == 0 || row > units) continue;
    Slices& slices = units_[*NumberAt<uint64_t>(index, rows_at + slot * 8)];
    for (uint64_t column = 0; column < columns; ++column) {
      // DW_SECT_ numbers of the two versions agree on these.
      static constexpr int kPartOf[] = {-1, kInfo, -1, kAbbrev, kLine, -1, kStrOffsets, -1, kRngLists};
      const uint32_t meaning = *NumberAt<uint32_t>(index, meanings_at + column * 4);
      const int part = meaning < std::size(kPartOf) ? kPartOf[meaning] : -1;
      if (part < 0) continue;
      const uint64_t cell = ((row - 1) * columns + column) * 4;
      slices[static_cast<size_t>(part)] = {*NumberAt<uint32_t>(index, offsets_at + cell),
                                           *NumberAt<uint32_t>(index, offsets_at + units * columns * 4 + cell)};
    }
  }
  return true;
}

std::string_view SplitPackage::PartOf(const Slices& slices, Part part) const {
  const Slice& slice = slices[part];
  return From(sections_[part], slice.offset).substr(0, slice.size);
}

// The strings of all units may be hundreds of megabytes; each unit gets those that it names.
std::pair<std::string, std::string> SplitPackage::Strings(std::string_view offsets, size_t header_bytes) const {
  std::string text;
  std::string table(offsets.substr(0, header_bytes));
  for (uint64_t at = header_bytes; const auto offset = NumberAt<uint32_t>(offsets, at); at += sizeof(*offset)) {
    const std::string_view rest = From(strings_, *offset);
    const auto place = static_cast<uint32_t>(text.size());
    text += rest.substr(0, rest.find('\0'));
    text += '\0';
    table.append(reinterpret_cast<const char*>(&place), sizeof(place));
  }
  return {text, table};
}

std::optional<Dwarf_Die> SplitPackage::Find(Dwarf* skeleton_file, Dwarf_Die* skeleton, uint64_t unit_id) {
  const auto found = units_.find(unit_id);
  if (found == units_.end()) return std::nullopt;
  const Slices& slices = found->second;
  Dwarf_Half version = 0;
  dwarf_cu_info(skeleton->cu, &version, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
  const bool has_headers = version >= 5;
  Elf* program = dwarf_getelf(skeleton_file);
  std::string addresses(UnitAddresses(program, skeleton, has_headers));
  // Behind them: where the unit's code begins.
  const auto low_pc_index = static_cast<uint32_t>(addresses.size() / 8);
  Dwarf_Addr low_pc = 0;
  dwarf_lowpc(skeleton, &low_pc);
  addresses.append(reinterpret_cast<const char*>(&low_pc), sizeof(low_pc));

  const std::optional<UnitText> text = StandAlone(PartOf(slices, kInfo), PartOf(slices, kAbbrev), low_pc_index);
  if (!text) return std::nullopt;
  const auto [strings, string_offsets] = Strings(PartOf(slices, kStrOffsets), has_headers ? kTableHeader : 0);
  const std::string_view ranges =
      From(SectionContent(program, ".debug_ranges"), OffsetOr0(skeleton, DW_AT_GNU_ranges_base, DW_AT_GNU_ranges_base))
          .substr(0, kMostBytesWithoutHeader);
  std::vector<std::pair<std::string, std::string_view>> sections;
  const auto add = [&sections](const char* name, std::string_view content) {
    if (!content.empty()) sections.emplace_back(name, content);
  };
  add(".debug_info", text->info);
  add(".debug_abbrev", text->abbreviations);
  add(".debug_line", PartOf(slices, kLine));
  add(".debug_str_offsets", string_offsets);
  add(".debug_rnglists", PartOf(slices, kRngLists));
  add(".debug_str", strings);
  add(".debug_addr", addresses);
  add(".debug_ranges", has_headers ? std::string_view() : ranges);
  return OpenImage(ElfImage(sections));
}

std::optional<Dwarf_Die> SplitPackage::OpenImage(std::string image) {
  auto unit = std::make_unique<Unit>();
  unit->content = std::move(image);
  unit->elf.reset(elf_memory(unit->content.data(), unit->content.size()));
  unit->dwarf.reset(unit->elf != nullptr ? dwarf_begin_elf(unit->elf.get(), DWARF_C_READ, nullptr) : nullptr);
  if (unit->dwarf == nullptr) return std::nullopt;
  Dwarf_CU* cu = nullptr;
  Dwarf_Die die;
  if (dwarf_get_units(unit->dwarf.get(), nullptr, &cu, nullptr, nullptr, &die, nullptr) != 0) return std::nullopt;
  opened_.push_back(std::move(unit));
  return die;
}

}  // namespace memtrace::tools
