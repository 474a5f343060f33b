#include "tools/symbols/unit_rewriting.h"

#include <dwarf.h>
#include <elf.h>

#include <cstring>

namespace memtrace::tools {
namespace {

constexpr size_t kHeader4 = 11;       // length, version, offset of the abbreviations, address size
constexpr size_t kHeader5 = 12;       // the same with the unit's type
constexpr size_t kHeader5Split = 20;  // and its id

// Takes numbers off a text. After the end everything is 0 and ok() false.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}
  bool ok() const { return ok_; }
  size_t at() const { return at_; }
  void Skip(size_t bytes) {
    ok_ = ok_ && bytes <= text_.size() - at_;
    if (ok_) at_ += bytes;
  }
  uint64_t Uleb() {
    uint64_t value = 0;
    for (int shift = 0; ok_; shift += 7) {
      const size_t here = at_;
      Skip(1);
      if (!ok_ || shift > 63) break;
      const auto byte = static_cast<unsigned char>(text_[here]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }
  void SkipString() {
    const size_t end = text_.find('\0', at_);
    ok_ = ok_ && end != std::string_view::npos;
    if (ok_) at_ = end + 1;
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
  bool ok_ = true;
};

void AppendUleb(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) *out += static_cast<char>(value | 0x80);
  *out += static_cast<char>(value);
}

struct Attribute {
  uint64_t name;
  uint64_t form;
  std::string constant;  // of DW_FORM_implicit_const, as it is written
};

struct Abbreviation {
  size_t begin = 0;  // in the table
  size_t end = 0;
  uint64_t tag = 0;
  bool has_children = false;
  std::vector<Attribute> attributes;
};

std::optional<Abbreviation> FindAbbreviation(std::string_view table, uint64_t wanted) {
  Cursor cursor(table);
  for (;;) {
    Abbreviation found;
    found.begin = cursor.at();
    const uint64_t code = cursor.Uleb();
    if (code == 0) return std::nullopt;
    found.tag = cursor.Uleb();
    const size_t children = cursor.at();
    cursor.Skip(1);
    if (!cursor.ok()) return std::nullopt;
    found.has_children = table[children] != 0;
    for (;;) {
      Attribute attribute{cursor.Uleb(), cursor.Uleb(), {}};
      const size_t constant = cursor.at();
      if (attribute.form == DW_FORM_implicit_const) cursor.Uleb();
      attribute.constant = table.substr(constant, cursor.at() - constant);
      if (!cursor.ok()) return std::nullopt;
      if (attribute.name == 0 && attribute.form == 0) break;
      found.attributes.push_back(std::move(attribute));
    }
    found.end = cursor.at();
    if (code == wanted) return found;
  }
}

// The forms that a unit's own entry has.
void SkipValue(uint64_t form, Cursor* cursor) {
  switch (form) {
    case DW_FORM_flag_present:
    case DW_FORM_implicit_const:
      return;
    case DW_FORM_data1:
    case DW_FORM_flag:
    case DW_FORM_strx1:
    case DW_FORM_addrx1:
      return cursor->Skip(1);
    case DW_FORM_data2:
    case DW_FORM_strx2:
      return cursor->Skip(2);
    case DW_FORM_data4:
    case DW_FORM_sec_offset:
    case DW_FORM_strp:
    case DW_FORM_strx4:
      return cursor->Skip(4);
    case DW_FORM_data8:
      return cursor->Skip(8);
    case DW_FORM_string:
      return cursor->SkipString();
    case DW_FORM_udata:
    case DW_FORM_sdata:
    case DW_FORM_strx:
    case DW_FORM_addrx:
    case DW_FORM_GNU_str_index:
    case DW_FORM_GNU_addr_index:
      cursor->Uleb();
      return;
    default:
      return cursor->Skip(~size_t{0});
  }
}

// Where the value of an attribute stands in `info`, whose entry's values begin at `begin`.
std::optional<size_t> ValueAt(std::string_view info, size_t begin, const Abbreviation& entry, size_t index) {
  Cursor cursor(info);
  cursor.Skip(begin);
  for (size_t i = 0; i < index; ++i) SkipValue(entry.attributes[i].form, &cursor);
  return cursor.ok() ? std::optional(cursor.at()) : std::nullopt;
}

// An index in four bytes whatever its value, then the offset 0.
std::string EightBytes(uint32_t low_pc_index) {
  std::string text;
  for (int i = 0; i < 3; ++i) text += static_cast<char>((low_pc_index >> (7 * i) & 0x7f) | 0x80);
  text += static_cast<char>(low_pc_index >> 21 & 0x7f);
  return text + std::string(4, '\0');
}

void AppendAbbreviation(uint64_t code, const Abbreviation& entry, std::string* out) {
  AppendUleb(code, out);
  AppendUleb(entry.tag, out);
  *out += static_cast<char>(entry.has_children ? 1 : 0);
  for (const Attribute& attribute : entry.attributes) {
    AppendUleb(attribute.name, out);
    AppendUleb(attribute.form, out);
    *out += attribute.constant;
  }
  out->append(2, '\0');
}

}  // namespace

std::optional<UnitText> StandAlone(std::string_view info, std::string_view abbreviations, uint32_t low_pc_index) {
  if (info.size() < kHeader5Split || low_pc_index >= 1u << 28) return std::nullopt;
  uint16_t version;
  std::memcpy(&version, info.data() + 4, sizeof(version));
  if (info.starts_with("\xff\xff\xff\xff") || (version != 4 && version != 5)) return std::nullopt;
  if (version == 5 && info[6] != DW_UT_split_compile) return std::nullopt;

  const size_t entry_at = version == 5 ? kHeader5Split : kHeader4;
  Cursor cursor(info);
  cursor.Skip(entry_at);
  const uint64_t code = cursor.Uleb();
  std::optional<Abbreviation> entry = FindAbbreviation(abbreviations, code);
  if (!cursor.ok() || code == 0 || !entry) return std::nullopt;

  UnitText text{std::string(info), {}};
  const uint64_t index_form = version == 5 ? DW_FORM_addrx : DW_FORM_GNU_addr_index;
  const std::vector<Attribute> added = {{DW_AT_low_pc, index_form, {}}, {DW_AT_stmt_list, DW_FORM_sec_offset, {}}};
  if (version == 5) {
    // The entry moves to where the id was, and grows by as much.
    text.info[6] = DW_UT_compile;
    const size_t code_bytes = cursor.at() - entry_at;
    text.info.replace(kHeader5, code_bytes + 8, text.info.substr(entry_at, code_bytes) + EightBytes(low_pc_index));
    entry->attributes.insert(entry->attributes.begin(), added.begin(), added.end());
  } else {
    size_t id = 0;
    while (id < entry->attributes.size() && entry->attributes[id].name != DW_AT_GNU_dwo_id) ++id;
    if (id == entry->attributes.size() || entry->attributes[id].form != DW_FORM_data8) return std::nullopt;
    const std::optional<size_t> at = ValueAt(info, cursor.at(), *entry, id);
    if (!at || info.size() - *at < 8) return std::nullopt;
    text.info.replace(*at, 8, EightBytes(low_pc_index));
    entry->attributes.erase(entry->attributes.begin() + static_cast<ptrdiff_t>(id));
    entry->attributes.insert(entry->attributes.begin() + static_cast<ptrdiff_t>(id), added.begin(), added.end());
  }
  text.abbreviations = abbreviations.substr(0, entry->begin);
  AppendAbbreviation(code, *entry, &text.abbreviations);
  text.abbreviations += abbreviations.substr(entry->end);
  return text;
}

std::string ElfImage(const std::vector<std::pair<std::string, std::string_view>>& sections) {
  std::string names(1, '\0');
  std::string body;
  std::vector<Elf64_Shdr> headers(1);
  const auto add = [&](const std::string& name, uint32_t type, std::string_view content) {
    body.resize((body.size() + 7) / 8 * 8);
    Elf64_Shdr header{};
    header.sh_name = static_cast<uint32_t>(names.size());
    header.sh_type = type;
    header.sh_offset = sizeof(Elf64_Ehdr) + body.size();
    header.sh_addralign = 1;
    names += name + '\0';
    header.sh_size = type == SHT_STRTAB ? names.size() : content.size();
    body += type == SHT_STRTAB ? names : content;
    headers.push_back(header);
  };
  for (const auto& [name, content] : sections) add(name, SHT_PROGBITS, content);
  add(".shstrtab", SHT_STRTAB, {});
  body.resize((body.size() + 7) / 8 * 8);

  Elf64_Ehdr file{};
  std::memcpy(file.e_ident, ELFMAG, SELFMAG);
  file.e_ident[EI_CLASS] = ELFCLASS64;
  file.e_ident[EI_DATA] = ELFDATA2LSB;
  file.e_ident[EI_VERSION] = EV_CURRENT;
  file.e_type = ET_DYN;
  file.e_machine = EM_NONE;
  file.e_version = EV_CURRENT;
  file.e_shoff = sizeof(file) + body.size();
  file.e_ehsize = sizeof(file);
  file.e_shentsize = sizeof(Elf64_Shdr);
  file.e_shnum = static_cast<uint16_t>(headers.size());
  file.e_shstrndx = static_cast<uint16_t>(headers.size() - 1);
  return std::string(reinterpret_cast<const char*>(&file), sizeof(file)) + body +
         std::string(reinterpret_cast<const char*>(headers.data()), headers.size() * sizeof(headers[0]));
}

}  // namespace memtrace::tools
