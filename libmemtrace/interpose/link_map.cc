// Symbol lookup over the loader's own list, so that no function of the loader is needed: dlsym lives in libdl before
// glibc 2.34, allocates, takes the loader's lock, and may itself be interposed.

#include <elf.h>
#include <link.h>

#include <atomic>

#include "libmemtrace/interpose/control.h"
#include "libmemtrace/interpose/real.h"
#include "libmemtrace/rt/os.h"

extern "C" unsigned long getauxval(unsigned long) __attribute__((weak));  // glibc 2.16, musl 1.1

namespace memtrace::interpose {
namespace {

using rt::Text;

uintptr_t Auxiliary(uint64_t type) {
  if (getauxval != nullptr) return getauxval(type);
  uintptr_t value = 0;
  const int fd = rt::Open("/proc/self/auxv", 0);
  Elf64_auxv_t entry;
  while (fd >= 0 && rt::ReadAll(fd, &entry, sizeof(entry)) == sizeof(entry)) {
    if (entry.a_type == type) value = entry.a_un.a_val;
  }
  if (fd >= 0) rt::Close(fd);
  return value;
}

// Dynamic sections hold addresses as in the file (musl, the vDSO) or already relocated (glibc).
template <typename T>
const T* At(const link_map& module, uint64_t value) {
  return reinterpret_cast<const T*>(value < module.l_addr ? value + module.l_addr : value);
}

struct Symbols {
  const Elf64_Sym* table = nullptr;
  const char* names = nullptr;
  const uint16_t* versions = nullptr;
  const uint32_t* gnu_hash = nullptr;
  const uint32_t* hash = nullptr;
};

Symbols SymbolsOf(const link_map& module) {
  Symbols symbols;
  for (const Elf64_Dyn* entry = module.l_ld; entry != nullptr && entry->d_tag != DT_NULL; ++entry) {
    switch (entry->d_tag) {
      case DT_SYMTAB:
        symbols.table = At<Elf64_Sym>(module, entry->d_un.d_ptr);
        break;
      case DT_STRTAB:
        symbols.names = At<char>(module, entry->d_un.d_ptr);
        break;
      case DT_VERSYM:
        symbols.versions = At<uint16_t>(module, entry->d_un.d_ptr);
        break;
      case DT_GNU_HASH:
        symbols.gnu_hash = At<uint32_t>(module, entry->d_un.d_ptr);
        break;
      case DT_HASH:
        symbols.hash = At<uint32_t>(module, entry->d_un.d_ptr);
        break;
      default:
        break;
    }
  }
  return symbols;
}

bool IsDefinition(const Symbols& symbols, uint32_t index, Text name) {
  const Elf64_Sym& symbol = symbols.table[index];
  constexpr uint16_t kHiddenVersion = 0x8000;
  return symbol.st_shndx != SHN_UNDEF && symbol.st_value != 0 && Text(symbols.names + symbol.st_name) == name &&
         (symbols.versions == nullptr || (symbols.versions[index] & kHiddenVersion) == 0);
}

// DT_GNU_HASH: header (buckets, first symbol, Bloom words, shift), Bloom filter, buckets, chains.
const Elf64_Sym* FindByGnuHash(const Symbols& symbols, Text name) {
  uint32_t hash = 5381;
  for (size_t i = 0; i < name.size; ++i) hash = hash * 33 + static_cast<unsigned char>(name[i]);
  const uint32_t bucket_count = symbols.gnu_hash[0];
  const uint32_t first = symbols.gnu_hash[1];
  const uint32_t bloom_words = symbols.gnu_hash[2];
  if (bucket_count == 0) return nullptr;
  const uint32_t* buckets = symbols.gnu_hash + 4 + bloom_words * 2;
  const uint32_t* chains = buckets + bucket_count;
  for (uint32_t index = buckets[hash % bucket_count]; index >= first && index != 0; ++index) {
    const uint32_t chain = chains[index - first];
    if ((chain | 1) == (hash | 1) && IsDefinition(symbols, index, name)) return &symbols.table[index];
    if ((chain & 1) != 0) break;
  }
  return nullptr;
}

const Elf64_Sym* FindByHash(const Symbols& symbols, Text name) {
  uint32_t hash = 0;
  for (size_t i = 0; i < name.size; ++i) {
    hash = (hash << 4) + static_cast<unsigned char>(name[i]);
    hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
  }
  const uint32_t bucket_count = symbols.hash[0];
  if (bucket_count == 0) return nullptr;
  const uint32_t* buckets = symbols.hash + 2;
  const uint32_t* chains = buckets + bucket_count;
  for (uint32_t index = buckets[hash % bucket_count]; index != STN_UNDEF; index = chains[index]) {
    if (IsDefinition(symbols, index, name)) return &symbols.table[index];
  }
  return nullptr;
}

uintptr_t FindIn(const link_map& module, Text name) {
  const Symbols symbols = SymbolsOf(module);
  if (symbols.table == nullptr || symbols.names == nullptr) return 0;
  const Elf64_Sym* symbol = nullptr;
  if (symbols.gnu_hash != nullptr) {
    symbol = FindByGnuHash(symbols, name);
  } else if (symbols.hash != nullptr) {
    symbol = FindByHash(symbols, name);
  }
  if (symbol == nullptr) return 0;
  const uintptr_t address = module.l_addr + ValueBeforePatch(&symbol->st_value);
  if (ELF64_ST_TYPE(symbol->st_info) != STT_GNU_IFUNC) return address;
  return reinterpret_cast<uintptr_t (*)()>(address)();
}

// The list of loaded modules, in load order, which is the order of symbol lookup.
const link_map* Modules() {
  const auto* headers = reinterpret_cast<const Elf64_Phdr*>(Auxiliary(AT_PHDR));
  const uint64_t count = Auxiliary(AT_PHNUM);
  if (headers == nullptr) return nullptr;
  uintptr_t bias = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (headers[i].p_type == PT_PHDR) bias = reinterpret_cast<uintptr_t>(headers) - headers[i].p_vaddr;
  }
  for (uint64_t i = 0; i < count; ++i) {
    if (headers[i].p_type != PT_DYNAMIC) continue;
    for (const auto* entry = reinterpret_cast<const Elf64_Dyn*>(bias + headers[i].p_vaddr); entry->d_tag != DT_NULL;
         ++entry) {
      if (entry->d_tag != DT_DEBUG || entry->d_un.d_ptr == 0) continue;
      return reinterpret_cast<const r_debug*>(entry->d_un.d_ptr)->r_map;
    }
  }
  return nullptr;
}

const link_map* Self() {
  const link_map* module = Modules();
  while (module != nullptr && module->l_ld != _DYNAMIC) module = module->l_next;
  return module;
}

// Where the search for the functions that the program would have called without us begins: behind us, or, where the
// program was running before we came, at its own beginning.
const link_map* FirstToSearch(const link_map* self) { return IsLoadedLate() ? Modules() : self->l_next; }

}  // namespace

bool IsLoadedLate() {
  enum : int { kUnknown, kEarly, kLate };
  static std::atomic<int> known{kUnknown};
  int late = known.load(std::memory_order_relaxed);
  if (late == kUnknown) {
    const link_map* self = Self();
    const link_map* module = self == nullptr ? nullptr : self->l_next;
    while (module != nullptr && FindIn(*module, "malloc") == 0) module = module->l_next;
    late = self != nullptr && module == nullptr ? kLate : kEarly;
    known.store(late, std::memory_order_relaxed);
  }
  return late == kLate;
}

uintptr_t FindNext(const char* name) {
  const link_map* self = Self();
  if (self == nullptr) return 0;
  for (const link_map* module = FirstToSearch(self); module != nullptr; module = module->l_next) {
    if (module == self) continue;
    if (const uintptr_t address = FindIn(*module, name)) return address;
  }
  return 0;
}

bool NextIsSameModule(const char* first, const char* second) {
  const link_map* self = Self();
  if (self == nullptr) return false;
  for (const link_map* module = FirstToSearch(self); module != nullptr; module = module->l_next) {
    if (module != self && FindIn(*module, first) != 0) return FindIn(*module, second) != 0;
  }
  return false;
}

uint32_t FlagsOfModulesBefore() {
  if (IsLoadedLate()) return 0;  // whoever loads us so late leads the calls to us
  const link_map* executable = Modules();
  const link_map* self = Self();
  uint32_t flags = 0;
  for (const link_map* module = executable; module != nullptr && module != self; module = module->l_next) {
    if (FindIn(*module, "malloc") == 0) continue;
    flags |= module == executable ? format::kFlagExecutableHasOwnMalloc : format::kFlagShadowedByPreload;
  }
  return flags;
}

}  // namespace memtrace::interpose
