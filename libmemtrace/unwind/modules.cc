#include "libmemtrace/unwind/modules.h"

#include "libmemtrace/format/tables.h"
#include "libmemtrace/rt/os.h"
#include "libmemtrace/unwind/elf_image.h"
#include "libmemtrace/unwind/maps.h"
#include "libmemtrace/unwind/rules.h"

namespace memtrace::unwind {

constinit std::atomic<uint32_t> g_module_generation{0};

namespace {

constexpr uint32_t kChunkModules = 64;
constexpr int kReadableRuns = 8;
constexpr rt::Text kVdso = "[vdso]";
constexpr uint32_t kElfMagic = 0x464c457f;

// Appended to under the MapsLock. g_count is stored (release) after the entry is complete and loaded
// (acquire) before entries are looked at.
constinit std::atomic<Module*> g_chunks[(kMaxModules + kChunkModules - 1) / kChunkModules] = {};
constinit std::atomic<uint32_t> g_count{0};
// Under the MapsLock; too large for a signal stack.
constinit ElfHeaders g_headers = {};

// Ranges without a module that were looked up in the last second, one word each: first page in the high
// 36 bits, number of pages, and in bit 0 whether it is executable. Stored under the lock; one load
// gives a reader the whole range.
constexpr int kAnonymousRanges = 64;
constexpr uint64_t kForgetAfterNs = 1'000'000'000;
constexpr int kPageShift = 12;
constexpr uint64_t kMaxPages = (1 << 27) - 1;
constinit std::atomic<uint64_t> g_anonymous[kAnonymousRanges] = {};
constinit std::atomic<int> g_anonymous_count{0};
constinit std::atomic<uint64_t> g_anonymous_since{0};
// Rules without a module may be in the cache.
constinit std::atomic<bool> g_has_orphans{false};

Module& At(uint32_t index) {
  return g_chunks[index / kChunkModules].load(std::memory_order_relaxed)[index % kChunkModules];
}

bool FindKnown(uintptr_t pc, uint16_t* module) {
  for (uint32_t i = g_count.load(std::memory_order_acquire); i-- > 0;) {
    const Module& candidate = At(i);
    if (candidate.code.Contains(pc) && !candidate.closed.load(std::memory_order_relaxed)) {
      *module = static_cast<uint16_t>(i);
      return true;
    }
  }
  return false;
}

// Whether `pc` lies in a remembered range; or in none while no more of them can be remembered, which
// bounds how often a program with scattered code makes us read /proc/self/maps.
bool FindAnonymous(uintptr_t pc, Code* code) {
  const int count = g_anonymous_count.load(std::memory_order_acquire);
  if (count == 0 ||
      rt::NowNanoseconds(rt::Clock::kMonotonic) - g_anonymous_since.load(std::memory_order_relaxed) > kForgetAfterNs) {
    return false;
  }
  for (int i = 0; i < count; ++i) {
    const uint64_t word = g_anonymous[i].load(std::memory_order_relaxed);
    const uint64_t page = pc >> kPageShift;
    if (page - (word >> 28) >= (word >> 1 & kMaxPages)) continue;
    *code = (word & 1) != 0 ? Code::kAnonymous : Code::kNone;
    return true;
  }
  if (count < kAnonymousRanges) return false;
  *code = Code::kAnonymous;
  return true;
}

void RememberAnonymous(MemoryRange range, bool executable) {
  const uint64_t now = rt::NowNanoseconds(rt::Clock::kMonotonic);
  int count = g_anonymous_count.load(std::memory_order_relaxed);
  if (now - g_anonymous_since.load(std::memory_order_relaxed) > kForgetAfterNs) {
    count = 0;
    g_anonymous_count.store(0, std::memory_order_relaxed);
    g_anonymous_since.store(now, std::memory_order_relaxed);
  }
  if (count == kAnonymousRanges) return;
  const uint64_t pages = (range.end - range.begin) >> kPageShift;
  const uint64_t kept = pages < kMaxPages ? pages : kMaxPages;
  g_anonymous[count].store((range.begin >> kPageShift) << 28 | kept << 1 | (executable ? 1 : 0),
                           std::memory_order_relaxed);
  g_anonymous_count.store(count + 1, std::memory_order_release);
}

bool IsImage(const Mapping& mapping) { return mapping.inode != 0 || mapping.path == kVdso; }

// The lines of one file that follow each other, and what surrounds a pc.
struct Surroundings {
  Mapping first;   // the line at offset 0, or the first of the file
  Mapping target;  // the line that holds the pc
  bool found = false;
  bool target_is_image = false;
  MemoryRange anonymous;  // adjacent mappings without a file
  MemoryRange readable[kReadableRuns];
  int readable_count = 0;

  bool Continues(const Mapping& mapping) const { return mapping.SameFile(first) && mapping.offset != 0; }
  void AddReadable(MemoryRange range) {
    if (readable_count > 0 && readable[readable_count - 1].end == range.begin) {
      readable[readable_count - 1].end = range.end;
    } else if (readable_count < kReadableRuns) {
      readable[readable_count++] = range;
    }
  }
  MemoryRange ReadableAround(uintptr_t address) const {
    for (int i = 0; i < readable_count; ++i) {
      if (readable[i].Contains(address)) return readable[i];
    }
    return {};
  }
};

// The end of `path` if it is too long, without the kernel's remark.
void CopyPath(rt::Text path, Module* module) {
  constexpr rt::Text kDeleted = " (deleted)";
  if (rt::EndsWith(path, kDeleted)) path = path.First(path.size - kDeleted.size);
  if (path.size >= sizeof(module->path)) path = path.From(path.size - sizeof(module->path) + 1);
  for (size_t i = 0; i < path.size; ++i) module->path[i] = path[i];
  module->path[path.size] = '\0';
  module->path_bytes = static_cast<uint32_t>(path.size);
}

// False if the file cannot be read. `module` gets the path, which only lives as long as the line.
bool Survey(const MapsLock& lock, uintptr_t pc, Surroundings* around, Module* module) {
  MapsScan scan(lock);
  if (!scan.ok()) return false;
  Mapping mapping;
  while (scan.Next(&mapping)) {
    if (IsImage(mapping)) {
      const bool continues = around->Continues(mapping);
      if (around->found && !continues) break;
      if (!continues) {
        around->first = mapping;
        around->readable_count = 0;
      }
      if (mapping.readable) around->AddReadable(mapping.range);
    } else {
      const bool adjacent = around->anonymous.end == mapping.range.begin;
      if (around->found && around->target.inode == 0 && !adjacent) break;
      if (!around->found && !adjacent) around->anonymous.begin = mapping.range.begin;
      if (!around->found || adjacent) around->anonymous.end = mapping.range.end;
    }
    if (mapping.range.Contains(pc)) {
      around->found = true;
      around->target = mapping;
      around->target_is_image = IsImage(mapping);
      CopyPath(mapping.path, module);
    }
  }
  return true;
}

// The same without /proc (before it is mounted, after chroot): the nearest page below that begins a file
// whose code holds `pc`. The path stays unknown. False: there is none in the range `anonymous`.
bool SurveyMemory(uintptr_t pc, Surroundings* around) {
  constexpr int kFarthestPages = 32768;
  const uintptr_t page = rt::PageBytes();
  uintptr_t start = pc & ~(page - 1);
  ElfImage image;
  for (int i = 0; i < kFarthestPages && start >= page; ++i, start -= page) {
    if (!rt::IsReadable(start) || LoadUnaligned<uint32_t>(start) != kElfMagic) continue;
    if (!ReadElfHeaders({start, start + page}, &g_headers)) continue;
    if (LayOutElf(g_headers, start, 0, false, &image) || LayOutElf(g_headers, start, 0, true, &image)) break;
  }
  const uintptr_t pc_page = pc & ~(page - 1);
  around->anonymous = {image.whole.end > pc ? pc_page : (image.whole.end > start ? image.whole.end : start),
                       pc_page + page};
  if (!image.code.Contains(pc) || image.whole.begin != start) return false;
  for (uintptr_t at = start; at < image.whole.end; at += page) {
    if (rt::IsReadable(at)) around->AddReadable({at, at + page});
  }
  around->first.range.begin = start;
  around->target.range.begin = start;
  around->target.executable = (g_headers.segments[0].p_flags & PF_X) != 0;
  return true;
}

// Fills in what the file's headers tell. False if this is not a file that can be run.
bool Describe(const Surroundings& around, uintptr_t pc, Module* module) {
  ElfImage image;
  const MemoryRange head = around.ReadableAround(around.first.range.begin);
  const bool in_memory = around.first.offset == 0 && ReadElfHeaders({around.first.range.begin, head.end}, &g_headers);
  if (!in_memory && !ReadElfHeaders(module->path, &g_headers)) return false;
  const Mapping& target = around.target;
  if (!LayOutElf(g_headers, target.range.begin, target.offset, target.executable, &image)) return false;
  if (!image.code.Contains(pc)) return false;
  module->code = image.code;
  module->start = image.whole.begin;
  module->end = image.whole.end;
  module->bias = image.bias;
  module->device = target.device;
  module->inode = target.inode;
  for (int i = 0; i < image.note_count && module->build_id_bytes == 0; ++i) {
    const MemoryRange note = image.notes[i];
    if (!around.ReadableAround(note.begin).Contains(note.begin, note.end - note.begin)) continue;
    module->build_id_bytes = FindBuildId(note, module->build_id, sizeof(module->build_id));
  }
  CfiTables* tables = &module->tables;
  tables->header_range = around.ReadableAround(image.unwind_header);
  if (image.unwind_header == 0 || tables->header_range.end == 0) return true;
  tables->entries = EntriesOf(image.unwind_header, tables->header_range);
  tables->entries_range = around.ReadableAround(tables->entries);
  if (tables->entries_range.end != 0) tables->header = image.unwind_header;
  return true;
}

// A place for the next module, zeroed; nullptr if there is none.
Module* Reserve() {
  const uint32_t index = g_count.load(std::memory_order_relaxed);
  if (index >= kMaxModules) return nullptr;
  std::atomic<Module*>& chunk = g_chunks[index / kChunkModules];
  if (chunk.load(std::memory_order_relaxed) == nullptr) {
    chunk.store(static_cast<Module*>(rt::MapAnonymous(kChunkModules * sizeof(Module))), std::memory_order_relaxed);
  }
  Module* modules = chunk.load(std::memory_order_relaxed);
  if (modules == nullptr) return nullptr;
  Module* place = &modules[index % kChunkModules];
  place->build_id_bytes = 0;  // a file that was refused may have left something
  place->tables = CfiTables();
  CopyPath(rt::Text(), place);
  return place;
}

bool HasNoModule(uint16_t module) { return module == format::kNoModule; }

uint16_t Append(Module* module) {
  module->first_seen = rt::NowNanoseconds(rt::Clock::kRealtime);
  const auto index = static_cast<uint16_t>(g_count.load(std::memory_order_relaxed));
  g_count.store(index + 1u, std::memory_order_release);
  // There may have been JIT code at the same place.
  if (g_has_orphans.exchange(false, std::memory_order_relaxed)) RuleCache::EraseModules(HasNoModule);
  return index;
}

Code Discover(uintptr_t pc, uint16_t* module) {
  const MapsLock lock;
  if (!lock.held()) return Code::kNone;
  Code code = Code::kNone;
  if (FindKnown(pc, module)) return Code::kModule;
  if (FindAnonymous(pc, &code)) return code;
  Module* fresh = Reserve();
  if (fresh == nullptr) return Code::kAnonymous;
  Surroundings around;
  const bool has_proc = Survey(lock, pc, &around, fresh);
  if (has_proc && !around.found) return Code::kNone;
  const bool executable = around.target.executable;
  const bool is_image = has_proc ? executable && around.target_is_image : SurveyMemory(pc, &around);
  if (is_image && Describe(around, pc, fresh)) {
    *module = Append(fresh);
    return Code::kModule;
  }
  const bool alone = has_proc && (around.target_is_image || !executable);
  RememberAnonymous(alone ? around.target.range : around.anonymous, executable || !has_proc);
  return executable || !has_proc ? Code::kAnonymous : Code::kNone;
}

bool IsGone(uint16_t module) {
  return module == format::kNoModule || At(module).closed.load(std::memory_order_relaxed);
}

// Marks in `seen`, a bit per module, those that the line belongs to.
void MarkSeen(const Mapping& mapping, uint32_t count, uint8_t* seen) {
  for (uint32_t i = 0; i < count; ++i) {
    const Module& module = At(i);
    // The vDSO and what was found without /proc have no file to compare.
    const bool same = module.inode == 0 || (module.inode == mapping.inode && module.device == mapping.device);
    const bool overlaps = mapping.range.begin < module.end && mapping.range.end > module.start;
    if (same && overlaps) seen[i / 8] |= static_cast<uint8_t>(1u << i % 8);
  }
}

}  // namespace

Code FindCode(uintptr_t pc, uint16_t* module) {
  *module = format::kNoModule;
  if (FindKnown(pc, module)) return Code::kModule;
  Code code = Code::kNone;
  if (!FindAnonymous(pc, &code) && rt::IsReadable(pc)) code = Discover(pc, module);
  if (code == Code::kAnonymous) g_has_orphans.store(true, std::memory_order_relaxed);
  return code;
}

int FindModule(uintptr_t pc) {
  uint16_t module;
  return FindCode(pc, &module) == Code::kModule ? module : format::kNoModule;
}

uint32_t ModuleCount() { return g_count.load(std::memory_order_acquire); }

const Module& ModuleAt(uint32_t index) { return At(index); }

void ForgetUnloadedModules() {
  const MapsLock lock;
  if (!lock.held()) return;
  static constinit uint8_t seen[(kMaxModules + 7) / 8] = {};
  const uint32_t count = g_count.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < (count + 7) / 8; ++i) seen[i] = 0;
  {
    MapsScan scan(lock);
    if (!scan.ok()) return;
    Mapping mapping;
    while (scan.Next(&mapping)) MarkSeen(mapping, count, seen);
  }
  bool any = false;
  for (uint32_t i = 0; i < count; ++i) {
    Module& module = At(i);
    if ((seen[i / 8] >> i % 8 & 1) != 0 || module.closed.load(std::memory_order_relaxed)) continue;
    module.closed_ns.store(rt::NowNanoseconds(rt::Clock::kRealtime), std::memory_order_relaxed);
    module.closed.store(true, std::memory_order_seq_cst);
    any = true;
  }
  g_anonymous_count.store(0, std::memory_order_relaxed);
  if (!any) return;
  g_module_generation.fetch_add(1, std::memory_order_seq_cst);
  RuleCache::EraseModules(IsGone);
}

void ResetAfterFork() { MapsLock::Reset(); }

}  // namespace memtrace::unwind
