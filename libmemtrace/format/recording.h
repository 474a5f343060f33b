// The file format of memtrace: recordings (.rec) and snapshots (.snap).
//
// This folder is the only place that knows the layout. The library writes it into a shared
// file mapping while the program runs; the tools read it, perhaps from a file that was torn
// off at any instant. All numbers are little-endian, all records have a fixed width, offsets
// count from the start of the file.
//
//   0                 Header
//   timeline_offset   TimelinePoint[timeline_capacity]
//   directory_offset  uint32_t[max_chunks]        what each chunk is, see ChunkEntry()
//   front_bytes       chunk 0, chunk 1, ...        kChunkBytes each
//
// A chunk holds records of one kind. The chunks of one kind, in the order of their ordinals,
// are one logical array. A directory entry is published (release) after the chunk is backed
// by the file system and zero-filled, so a reader that sees the entry may read the chunk.
//
// Words that change while a reader looks are aligned, at most 8 bytes wide, and written by one
// store each: the writer uses std::atomic_ref, the reader copies before it looks.
#ifndef MEMTRACE_FORMAT_RECORDING_H_
#define MEMTRACE_FORMAT_RECORDING_H_

#include <cstddef>
#include <cstdint>

namespace memtrace::format {

inline constexpr char kMagic[8] = {'M', 'E', 'M', 'T', 'R', 'A', 'C', 'E'};
inline constexpr uint32_t kVersion = 2;
inline constexpr uint64_t kChunkBytes = 64 * 1024;
inline constexpr uint32_t kMaxChunks = 2 * 65536;  // a recording has half of that at most, a snapshot some more
inline constexpr uint32_t kRateSlots = 64;
inline constexpr uint32_t kMaxTimelinePoints = 4096;

enum class ChunkKind : uint8_t {
  kUnused = 0,
  kNode = 1,      // Node: the stack table
  kLive = 2,      // LiveBucket: the live table
  kOverflow = 3,  // LiveBucket: chained behind full buckets of the live table
  kSite = 4,      // SiteCell: counters of sites
  kColumn = 5,    // ColumnCell: columns that do not fit into their site's cell
  kThread = 6,    // thread buffers, header.thread_buffer_bytes each
  kModule = 7,    // Module
  kBlob = 8,      // a byte stream of blobs, see blob.h
};
inline constexpr int kChunkKinds = 9;

// A directory entry: the kind in the high 8 bits, the ordinal in the low 24. 0 is unused.
constexpr uint32_t ChunkEntry(ChunkKind kind, uint32_t ordinal) { return static_cast<uint32_t>(kind) << 24 | ordinal; }
constexpr ChunkKind EntryKind(uint32_t entry) { return static_cast<ChunkKind>(entry >> 24); }
constexpr uint32_t EntryOrdinal(uint32_t entry) { return entry & 0xffffff; }

enum class State : uint32_t { kRunning = 1, kExited = 2, kExec = 3, kSnapshot = 4 };
enum class Trigger : uint32_t { kNone = 0, kSignal = 1, kThreshold = 2, kExit = 3, kRequest = 4 };
enum class Sampling : uint32_t { kExact = 1, kFixed = 2, kAuto = 3 };
enum class Origin : uint32_t { kStart = 1, kFork = 2, kAttach = 3 };
enum class Libc : uint32_t { kUnknown = 0, kGlibc = 1, kMusl = 2 };

// What the world wants of the process, see Header::wanted.
enum class Wanted : uint32_t { kRecord = 0, kStop = 1 };

// Whether lost blocks were looked for, see Header::look.
enum class LookState : uint32_t {
  kNone = 0,        // nobody asked
  kUnderWay = 1,    // or whoever looked did not live to tell
  kDone = 2,        // the marks in the live table hold
  kNoMemory = 3,    // too close to the memory limit for a copy of the process
  kNoCopy = 4,      // the kernel refused the copy
  kNotStopped = 5,  // ... or to stop the threads for it
  kTooLong = 6,
  kUnreadable = 7,  // /proc or the recording, from the copy
  kBusy = 8,        // the copy of the snapshot before was still being searched
};

// Why the sampling interval changed.
enum class RateReason : uint32_t { kInitial = 0, kTableFull = 1, kBrink = 2, kBudget = 3 };

// Events that were not recorded, by cause: indices of Header::drops.
enum class Drop : uint32_t {
  kTableFull = 0,    // the live table could not take the block
  kNoThreadBuffer,   // no room for another thread's buffer
  kReentered,        // more events inside a signal handler than a thread keeps waiting
  kBusy,             // a lock of the recording was not released in time
  kUnrepresentable,  // address beyond 48 bits, or size beyond 42 bits
  kSiteTableFull,    // the site's counters were added to the unknown site (node 0)
  kNodeTableFull,    // the stack was cut or counted under the unknown site
  kStackDifference,  // MEMTRACE_UNWINDER=verify: stacks that the incremental unwind got wrong
  kCount,
};
inline constexpr uint32_t kDropSlots = 16;
static_assert(static_cast<uint32_t>(Drop::kCount) <= kDropSlots);

// Flags of Header::flags: what the library knows it cannot see.
inline constexpr uint32_t kFlagExecutableHasOwnMalloc = 1u << 0;  // found before ours: its calls bypass us
inline constexpr uint32_t kFlagShadowedByPreload = 1u << 1;       // another preload comes before us
inline constexpr uint32_t kFlagGrowthRefused = 1u << 2;           // the file could not grow further
inline constexpr uint32_t kFlagUnlocked = 1u << 3;                // not all pages could be locked
inline constexpr uint32_t kFlagSnapshotFailed = 1u << 4;          // at least one snapshot was lost
inline constexpr uint32_t kFlagStopped = 1u << 5;                 // recording was switched off

// One sampling interval and when it came into force. bytes == 1 means every allocation.
struct Rate {
  uint64_t bytes;
  uint64_t since_work_bytes;
  uint64_t since_ns;  // CLOCK_REALTIME
  uint32_t reason;    // RateReason
  uint32_t reserved;
};
static_assert(sizeof(Rate) == 32);

// A moment in the life of the process. time_ns == 0: the slot is empty. Points are in no
// particular order (thinning moves them); two may be equal. What was not readable is kUnknown.
inline constexpr uint64_t kUnknown = ~uint64_t{0};
struct TimelinePoint {
  uint64_t time_ns;  // CLOCK_REALTIME
  uint64_t work_bytes;
  uint64_t live_bytes;
  uint64_t live_blocks;
  uint64_t cgroup_usage_bytes;
  uint64_t cgroup_working_set_bytes;
  uint64_t cgroup_limit_bytes;
  uint64_t rss_bytes;
};
static_assert(sizeof(TimelinePoint) == 64);

struct Header {
  // --- What this file is. Written once, before the file gets its name. ---
  char magic[8];
  uint32_t version;
  uint32_t header_bytes;  // sizeof(Header) of the writer
  uint64_t front_bytes;
  uint64_t chunk_bytes;
  uint32_t max_chunks;
  uint32_t timeline_capacity;
  uint64_t directory_offset;
  uint64_t timeline_offset;
  uint32_t thread_buffer_bytes;
  uint32_t machine;  // ELF e_machine
  uint32_t page_bytes;
  uint32_t libc;  // Libc

  // --- The process. Written once. ---
  uint32_t pid;  // in its own PID namespace
  uint32_t parent_pid;
  uint32_t uid;
  uint32_t origin;               // Origin
  uint64_t process_start_ticks;  // field 22 of /proc/PID/stat
  uint64_t start_ns;             // CLOCK_REALTIME when recording began
  uint64_t start_monotonic_ns;
  uint64_t pid_namespace;  // inode of /proc/self/ns/pid, 0 unknown
  uint8_t boot_id[16];     // zero: unknown
  // In use before recording began, and not seen here. Origin::kFork: live in the parent. kAttach: resident anonymous
  // memory, of which the heap is a part. kUnknown: not readable. Else 0.
  uint64_t inherited_bytes;
  uint64_t process_start_ns;  // CLOCK_REALTIME; 0 unknown

  // --- State. state is stored last at the end of a process. ---
  uint32_t state;    // State
  uint32_t trigger;  // Trigger, of a snapshot
  uint32_t trigger_percent;
  uint32_t snapshot_number;
  uint64_t end_ns;  // of the process or, with kFlagStopped, of recording; or when the snapshot was frozen
  uint32_t flags;
  uint32_t snapshots_taken;
  uint64_t last_event_ns;  // CLOCK_REALTIME, as of the last time-line check

  // --- Sampling. ---
  uint32_t sampling;        // Sampling
  uint32_t rate_index;      // current entry of rates
  uint64_t brink_since_ns;  // 0: never on the brink
  Rate rates[kRateSlots];

  // --- Extent of the tables. Each is stored (release) after what it covers. ---
  alignas(64) uint32_t chunk_count;
  uint32_t node_count;  // nodes handed out; node 0 is the root, a zero pc is not filled yet
  uint32_t module_count;
  uint32_t live_buckets;  // buckets in use by the live table
  uint32_t overflow_buckets;
  uint32_t thread_count;  // thread buffers handed out
  uint64_t blob_bytes;
  uint64_t drops[kDropSlots];

  // --- Sums over all threads that are flushed from time to time. ---
  alignas(64) uint64_t work_bytes;  // bytes allocated by the process so far: the work clock
  uint64_t live_bytes;              // flushed part, see ThreadBuffer::pending_live_bytes
  uint64_t live_count_q16;
  uint64_t peak_live_bytes;
  uint64_t peak_live_count_q16;
  uint64_t peak_epoch;  // raised with peak_live_bytes; see SiteCell
  uint64_t slow_path_ns;
  uint64_t cgroup_limit_bytes;  // kUnknown: no limit found
  uint64_t private_bytes;       // memory of the library outside of this file
  // Wanted. A word that others write, into the file of the running process. kStop: within 64 recorded events,
  // or one of 64 KiB, kFlagStopped and end_ns are set, and nothing is written to this file any more. kRecord again:
  // when the program has allocated another MiB it begins a new file, with Origin::kAttach, beside this one.
  uint32_t wanted;
  // The other word that others write: 1 asks for a snapshot in which lost blocks are looked for, taken as soon as kStop
  // would be obeyed; it is 0 again when that has begun.
  uint32_t look_wanted;
  uint64_t heap_bytes_before;  // Origin::kAttach: in use in the allocator before; kUnknown if it does not tell
  // Of a snapshot. The other three are stored before `look`, and so are the marks, see kBucketLostShift: a snapshot may
  // have its name before it is known which blocks are lost.
  uint32_t look;           // LookState
  uint32_t look_error;     // error number behind it, 0: none
  uint64_t look_pause_ns;  // for which all threads of the program stood still
  uint64_t look_ns;        // from then to the marks
  uint8_t reserved[16];
};
static_assert(sizeof(Header) % 64 == 0 && sizeof(Header) <= 4096);
static_assert(offsetof(Header, version) == 8 && offsetof(Header, header_bytes) == 12);

}  // namespace memtrace::format

#endif  // MEMTRACE_FORMAT_RECORDING_H_
