// The ELF files that code on our stacks belongs to.
//
// A module is found when a pc lies in none that is known: through /proc/self/maps and the headers
// in memory, never through the loader, whose lock somebody may hold who waits for us. Without /proc the
// headers are searched for in the memory below the pc, and paths stay empty. What lies in memory without
// a file is JIT code; its ranges are remembered for a second, so that they cost nothing either. An
// address that was never unmapped through dlclose keeps its module.
//
// The table only grows. A module that was unloaded keeps its place and is marked as closed; what is
// loaded there later gets an entry of its own.
#ifndef MEMTRACE_UNWIND_MODULES_H_
#define MEMTRACE_UNWIND_MODULES_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/unwind/cfi.h"
#include "libmemtrace/unwind/memory.h"

namespace memtrace::unwind {

inline constexpr uint32_t kMaxModules = 65534;

// Written once, before the module is counted; only `closed` changes, once.
struct Module {
  MemoryRange code;  // from the first executable segment to the end of the last
  uintptr_t start;   // lowest address of the image
  uintptr_t end;
  uintptr_t bias;  // address in the process - address in the file
  CfiTables tables;
  uint64_t device;  // as in /proc/self/maps; 0 and 0 for the vDSO
  uint64_t inode;
  uint64_t first_seen;              // CLOCK_REALTIME in ns
  std::atomic<uint64_t> closed_ns;  // likewise, 0: still loaded. Stored before `closed`
  std::atomic<bool> closed;
  uint32_t build_id_bytes;
  uint32_t path_bytes;
  uint8_t build_id[32];
  char path[424];  // ends with a NUL; longer paths keep their end; without " (deleted)"; empty: unknown
};

// What lies at a pc. kNone: nothing that can be executed, or it could not be found out now.
enum class Code { kModule, kAnonymous, kNone };
Code FindCode(uintptr_t pc, uint16_t* module);

// Index in the table, format::kNoModule if there is none.
// Cost: a nanosecond per module; reading /proc/self/maps where the pc is new.
int FindModule(uintptr_t pc);

// Modules with smaller indices are complete. Never shrinks.
uint32_t ModuleCount();
// `index` < ModuleCount(). The reference holds for ever.
const Module& ModuleAt(uint32_t index);

// To be called after dlclose: marks what is no longer mapped as closed and drops its rules.
void ForgetUnloadedModules();
// Raised whenever a module is closed: whoever remembers frames must forget them.
extern constinit std::atomic<uint32_t> g_module_generation __attribute__((visibility("hidden")));
inline uint32_t ModuleGeneration() { return g_module_generation.load(std::memory_order_acquire); }

// In the child of a fork: another thread of the parent may have held the lock.
void ResetAfterFork();

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_MODULES_H_
