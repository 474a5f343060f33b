#include "injector/remote_modules.h"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_map>

namespace memtrace::injector {
namespace {

constexpr uint64_t kMostModules = 16384;
constexpr uint64_t kMostDynamicEntries = 1024;
constexpr uint64_t kMostSymbols = 4 << 20;
constexpr uint64_t kMostRelocations = 16 << 20;
constexpr uint64_t kMostNameBytes = 4096;

#if defined(__x86_64__)
constexpr uint32_t kJumpSlot = R_X86_64_JUMP_SLOT;
constexpr uint32_t kGlobalData = R_X86_64_GLOB_DAT;
constexpr uint32_t kAbsolute = R_X86_64_64;
#else
constexpr uint32_t kJumpSlot = R_AARCH64_JUMP_SLOT;
constexpr uint32_t kGlobalData = R_AARCH64_GLOB_DAT;
constexpr uint32_t kAbsolute = R_AARCH64_ABS64;
#endif

bool IsSlot(const Elf64_Rela& relocation) {
  const auto type = static_cast<uint32_t>(ELF64_R_TYPE(relocation.r_info));
  return type == kJumpSlot || type == kGlobalData || (type == kAbsolute && relocation.r_addend == 0);
}

// How many symbols a table holds, from its GNU hash table: the chain of the last bucket ends with the last symbol.
uint64_t CountByGnuHash(const ProcessMemory& memory, uint64_t table) {
  uint32_t header[4];
  if (!memory.Read(table, header, sizeof(header))) return 0;
  const uint64_t buckets_at = table + sizeof(header) + uint64_t{header[2]} * 8;
  const auto buckets = memory.ReadArray<uint32_t>(buckets_at, header[0], kMostSymbols);
  const uint32_t last = buckets.empty() ? 0 : *std::max_element(buckets.begin(), buckets.end());
  if (last < header[1] || last == 0) return header[1];
  const uint64_t chains_at = buckets_at + buckets.size() * sizeof(uint32_t);
  for (uint64_t index = last; index < kMostSymbols; ++index) {
    uint32_t hash;
    if (!memory.ReadObject(chains_at + (index - header[1]) * sizeof(uint32_t), &hash)) return 0;
    if ((hash & 1) != 0) return index + 1;
  }
  return 0;
}

uint64_t CountByHash(const ProcessMemory& memory, uint64_t table) {
  uint32_t header[2];
  return memory.Read(table, header, sizeof(header)) ? header[1] : 0;
}

}  // namespace

RemoteModule::RemoteModule(const ProcessMemory* memory, uint64_t bias, uint64_t dynamic)
    : memory_(memory), bias_(bias), dynamic_(dynamic) {
  for (uint64_t i = 0; i < kMostDynamicEntries; ++i) {
    Elf64_Dyn entry;
    if (!memory->ReadObject(dynamic + i * sizeof(entry), &entry) || entry.d_tag == DT_NULL) break;
    const uint64_t value = entry.d_un.d_val;
    switch (entry.d_tag) {
      case DT_SYMTAB:
        symbols_ = At(value);
        break;
      case DT_STRTAB:
        names_ = At(value);
        break;
      case DT_STRSZ:
        names_bytes_ = value;
        break;
      case DT_VERSYM:
        versions_ = At(value);
        break;
      case DT_GNU_HASH:
        gnu_hash_ = At(value);
        break;
      case DT_HASH:
        hash_ = At(value);
        break;
      case DT_RELA:
        relocations_ = At(value);
        break;
      case DT_RELASZ:
        relocations_bytes_ = value;
        break;
      case DT_RELACOUNT:
        relative_count_ = value;
        break;
      case DT_JMPREL:
        plt_relocations_ = At(value);
        break;
      case DT_PLTRELSZ:
        plt_relocations_bytes_ = value;
        break;
      default:
        break;
    }
  }
}

std::string RemoteModule::Name(uint32_t offset) const {
  return offset < names_bytes_ ? memory_->ReadString(names_ + offset, kMostNameBytes) : "";
}

bool RemoteModule::IsDefault(uint64_t index) const {
  constexpr uint16_t kHiddenVersion = 0x8000;
  uint16_t version = 0;
  return versions_ == 0 ||
         (memory_->ReadObject(versions_ + index * sizeof(version), &version) && (version & kHiddenVersion) == 0);
}

template <typename Visit>
void RemoteModule::ForEachDefinition(Visit visit) const {
  if (symbols_ == 0 || names_ == 0) return;
  const uint64_t count = gnu_hash_ != 0 ? CountByGnuHash(*memory_, gnu_hash_)
                         : hash_ != 0   ? CountByHash(*memory_, hash_)
                                        : 0;
  const auto table = memory_->ReadArray<Elf64_Sym>(symbols_, count, kMostSymbols);
  const auto names = memory_->ReadArray<char>(names_, names_bytes_, uint64_t{64} << 20);
  for (size_t i = 0; i < table.size(); ++i) {
    const Elf64_Sym& symbol = table[i];
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_value == 0 || symbol.st_name >= names.size()) continue;
    const char* name = names.data() + symbol.st_name;
    const std::string_view text(name, strnlen(name, names.size() - symbol.st_name));
    const RemoteSymbol found{bias_ + symbol.st_value, symbols_ + i * sizeof(symbol) + offsetof(Elf64_Sym, st_value)};
    if (!visit(i, text, found)) return;
  }
}

std::optional<RemoteSymbol> RemoteModule::Find(std::string_view name) const {
  std::optional<RemoteSymbol> result;
  ForEachDefinition([&](size_t index, std::string_view text, const RemoteSymbol& symbol) {
    if (text == name && IsDefault(index)) result = symbol;
    return !result.has_value();
  });
  return result;
}

void RemoteModule::ForEachSymbol(const std::function<void(const std::string&, RemoteSymbol)>& visit) const {
  ForEachDefinition([&](size_t index, std::string_view text, const RemoteSymbol& symbol) {
    if (IsDefault(index)) visit(std::string(text), symbol);
    return true;
  });
}

void RemoteModule::VisitRelocations(uint64_t table, uint64_t bytes, uint64_t skip,
                                    const std::function<void(const std::string&, uint64_t)>& visit) const {
  const uint64_t count = std::min(bytes / sizeof(Elf64_Rela), kMostRelocations);
  std::unordered_map<uint64_t, std::string> names;  // by symbol: a name is read once
  constexpr uint64_t kStep = 8192;
  for (uint64_t at = std::min(skip, count); at < count; at += kStep) {
    for (const Elf64_Rela& relocation :
         memory_->ReadArray<Elf64_Rela>(table + at * sizeof(Elf64_Rela), std::min(kStep, count - at), kStep)) {
      if (!IsSlot(relocation)) continue;
      const uint64_t index = ELF64_R_SYM(relocation.r_info);
      const auto [name, is_new] = names.try_emplace(index);
      Elf64_Sym symbol;
      if (is_new && memory_->ReadObject(symbols_ + index * sizeof(symbol), &symbol))
        name->second = Name(symbol.st_name);
      if (!name->second.empty()) visit(name->second, bias_ + relocation.r_offset);
    }
  }
}

void RemoteModule::ForEachSlot(const std::function<void(const std::string&, uint64_t)>& visit) const {
  if (symbols_ == 0 || names_ == 0) return;
  VisitRelocations(relocations_, relocations_bytes_, relative_count_, visit);
  VisitRelocations(plt_relocations_, plt_relocations_bytes_, 0, visit);
}

uint64_t RemoteModule::FindNote(std::string_view owner, uint32_t type) const {
  Elf64_Ehdr header;
  if (!memory_->ReadObject(bias_, &header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return 0;
  for (const Elf64_Phdr& segment : memory_->ReadArray<Elf64_Phdr>(bias_ + header.e_phoff, header.e_phnum, 64)) {
    if (segment.p_type != PT_NOTE) continue;
    const uint64_t size = std::min<uint64_t>(segment.p_memsz, 65536);
    for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) < size;) {
      Elf64_Nhdr note;
      const uint64_t note_at = bias_ + segment.p_vaddr + at;
      if (!memory_->ReadObject(note_at, &note)) break;
      const auto padded = [](uint64_t bytes) { return (bytes + 3) & ~uint64_t{3}; };
      const uint64_t description = note_at + sizeof(note) + padded(note.n_namesz);
      if (note.n_type == type && memory_->ReadString(note_at + sizeof(note), 64) == owner) return description;
      at += sizeof(note) + padded(note.n_namesz) + padded(note.n_descsz);
    }
  }
  return 0;
}

LoadedModules ReadModules(const ProcessMemory& memory) {
  LoadedModules result;
  const uint64_t headers_at = memory.Auxiliary(AT_PHDR);
  const auto headers = memory.ReadArray<Elf64_Phdr>(headers_at, memory.Auxiliary(AT_PHNUM), 1024);
  uint64_t bias = 0;
  uint64_t dynamic = 0;
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type == PT_PHDR) bias = headers_at - header.p_vaddr;
  }
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type == PT_DYNAMIC) dynamic = bias + header.p_vaddr;
  }
  uint64_t debug_at = 0;
  for (uint64_t i = 0; dynamic != 0 && i < kMostDynamicEntries; ++i) {
    Elf64_Dyn entry;
    if (!memory.ReadObject(dynamic + i * sizeof(entry), &entry) || entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_DEBUG) debug_at = entry.d_un.d_ptr;
  }
  r_debug debug;
  if (debug_at == 0 || !memory.ReadObject(debug_at, &debug)) return result;
  result.consistent = debug.r_state == r_debug::RT_CONSISTENT;
  std::set<uint64_t> seen;
  for (auto at = reinterpret_cast<uint64_t>(debug.r_map); at != 0 && seen.size() < kMostModules;) {
    link_map module;
    if (!seen.insert(at).second || !memory.ReadObject(at, &module)) break;
    result.modules.emplace_back(&memory, module.l_addr, reinterpret_cast<uint64_t>(module.l_ld));
    at = reinterpret_cast<uint64_t>(module.l_next);
  }
  return result;
}

}  // namespace memtrace::injector
