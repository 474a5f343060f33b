// What `memtrace attach` and the library agree on when it is loaded into a running process.
//
// The library carries a note (owner "memtrace", type kControlNote) that holds two 32-bit distances, each counted from
// its own place: to the function that takes orders, and to its ControlBlock. So whoever can read the memory of a
// process finds them without any exported symbol.
//
// The attacher binds the program's calls to the library and back, by writing into the process's memory; the library
// only starts, stops and remembers what was changed.
#ifndef MEMTRACE_FORMAT_CONTROL_H_
#define MEMTRACE_FORMAT_CONTROL_H_

#include <cstdint>

namespace memtrace::format {

inline constexpr uint32_t kControlNote = 1;
inline constexpr uint32_t kControlVersion = 1;
inline constexpr uint32_t kMostPatches = 96;

// Orders run on a stack of their own, of at least kControlStackBytes, in a thread that is not inside the library's slow
// path (ControlBlock::thread_busy_offset). They return 0 or a negative error number.
enum class Order : uint64_t {
  kStart = 1,  // argument: the environment to read the options from, as environ; begins a new recording
  kStop = 2,   // ends the recording and gives the signal back; the file is complete
  // After kStop, when no thread is in the slow path any more: unmaps the recording.
  kRelease = 3,
};
inline constexpr uint64_t kControlStackBytes = 256 * 1024;

// A symbol of another module whose value the attacher has changed, so that whatever the loader binds from now on comes
// to the library.
struct Patch {
  uint64_t address;  // of the symbol's value
  uint64_t before;
};

inline constexpr uint32_t kModeRecording = 2;

struct ControlBlock {
  uint32_t version;  // kControlVersion
  uint32_t reserved;
  uint32_t loaded_late;  // by dlopen, behind the allocator: until kStart nothing is recorded
  uint32_t patch_count;  // written by the attacher, with all threads stopped
  // From the thread pointer of a thread to its ThreadState::in_memtrace; valid if thread_busy_known.
  int64_t thread_busy_offset;
  uint64_t thread_busy_known;
  uint64_t mode;               // address of a 32-bit word that is kModeRecording while the process is recorded
  uint64_t path;               // address of the recording's path, ended by a NUL
  uint64_t heap_bytes_before;  // written by the attacher before kStart, see Header
  Patch patches[kMostPatches];
};
static_assert(sizeof(ControlBlock) == 56 + kMostPatches * sizeof(Patch));

}  // namespace memtrace::format

#endif  // MEMTRACE_FORMAT_CONTROL_H_
