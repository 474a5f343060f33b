// Records of the tables that lie in the chunks of a recording. See recording.h.
#ifndef MEMTRACE_FORMAT_TABLES_H_
#define MEMTRACE_FORMAT_TABLES_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "libmemtrace/format/recording.h"

namespace memtrace::format {

// Counts of blocks are fixed-point numbers with 16 fractional bits, because a sampled block
// stands for 1 / probability blocks.
inline constexpr int kCountShift = 16;
inline constexpr uint64_t kCountOne = uint64_t{1} << kCountShift;
constexpr uint64_t RoundedCount(uint64_t count_q16) {
  return (count_q16 >> kCountShift) + (count_q16 % kCountOne >= kCountOne / 2 ? 1 : 0);
}

// A frame in the trie of stacks: `parent` is the node of the caller, 0 the root. The stack of
// a node is its own frame, then its parent's and so on.
struct Node {
  // The program counter to look up in the low 48 bits (return address - 1 for a call, the
  // exact address where a signal interrupted), the module's index in the high 16 bits.
  uint64_t pc_module;
  uint32_t parent;
  uint16_t depth;
  uint16_t flags;
};
static_assert(sizeof(Node) == 16);
inline constexpr uint16_t kNoModule = 0xffff;
inline constexpr uint16_t kNodeTruncated = 1 << 0;    // frames outside of this one are missing
inline constexpr uint16_t kNodeInterrupted = 1 << 1;  // a signal arrived here: pc is exact
constexpr uint64_t NodePc(const Node& node) { return node.pc_module & 0xffffffffffff; }
constexpr uint16_t NodeModule(const Node& node) { return static_cast<uint16_t>(node.pc_module >> 48); }
inline constexpr uint32_t kNodesPerChunk = kChunkBytes / sizeof(Node);

// Three live blocks. keys[i] == 0: the slot is empty; it is stored last on entry and first on
// removal, so that a slot with a key is whole at any instant. The same address may be found
// twice while a block moves or is reused under the reader's eyes: the younger birth counts.
struct LiveBucket {
  uint64_t keys[3];
  uint32_t nodes[3];
  uint32_t sizes[3];   // low 32 bits
  uint32_t births[3];  // EncodeBirth(work clock)
  uint32_t meta;       // bit 31: locked; low 24 bits: chained overflow bucket + 1, 0 none; see also kBucketLostShift
};
static_assert(sizeof(LiveBucket) == 64);
inline constexpr uint32_t kBucketsPerChunk = kChunkBytes / sizeof(LiveBucket);
inline constexpr uint32_t kBucketLocked = 1u << 31;
inline constexpr uint32_t kBucketNextMask = 0xffffff;
// Of a snapshot with LookState::kDone: bit 24 + i of `meta` says that no pointer led to block i any more.
inline constexpr int kBucketLostShift = 24;

// keys[i]: address in the low 48 bits, index of the rate in 6 bits, bits 32..41 of the size.
inline constexpr int kAddressBits = 48;
inline constexpr uint64_t kAddressMask = (uint64_t{1} << kAddressBits) - 1;
inline constexpr uint64_t kMaxBlockBytes = (uint64_t{1} << 42) - 1;
constexpr uint64_t LiveKey(uint64_t address, uint32_t rate_index, uint64_t size) {
  return address | uint64_t{rate_index} << 48 | (size >> 32) << 54;
}
constexpr uint64_t KeyAddress(uint64_t key) { return key & kAddressMask; }
constexpr uint32_t KeyRate(uint64_t key) { return key >> 48 & 63; }
constexpr uint64_t KeySize(uint64_t key, uint32_t low) { return key >> 54 << 32 | low; }

// A moment on the work clock in 32 bits: 27 bits of mantissa, 5 of exponent. Exact below
// 128 MiB, to 1 part in 2^26 above.
inline constexpr int kBirthMantissaBits = 27;
constexpr uint32_t EncodeBirth(uint64_t work_bytes) {
  const int width = static_cast<int>(std::bit_width(work_bytes));
  const int shift = width > kBirthMantissaBits ? width - kBirthMantissaBits : 0;
  if (shift > 31) return ~uint32_t{0};
  return static_cast<uint32_t>(shift) << kBirthMantissaBits | static_cast<uint32_t>(work_bytes >> shift);
}
constexpr uint64_t DecodeBirth(uint32_t birth) {
  return uint64_t{birth & ((1u << kBirthMantissaBits) - 1)} << (birth >> kBirthMantissaBits);
}

// Counters of one site (the node of the allocating call) as one thread counted them: only the owner of thread buffer
// `writer` changes the cell, so no line is shared. Cells of one node add up; a single one may wrap below zero.
//
// peak_bytes are the cell's live bytes at the process's peak: valid if peak_epoch equals Header::peak_epoch;
// otherwise the cell has not changed since the peak, and they are alloc_bytes - free_bytes.
struct SiteCell {
  uint32_t node;    // 0: empty. Stored together with `writer`, first of all
  uint32_t writer;  // index of a thread buffer
  uint64_t alloc_count_q16;
  uint64_t alloc_bytes;
  uint64_t free_count_q16;
  uint64_t free_bytes;
  uint64_t temporary_count_q16;  // freed with no allocation of that thread in between
  uint64_t peak_bytes;
  uint64_t peak_epoch;
  // The columns that the site needs most: column + 1 in the high 7 bits, bytes in the low 25; 0 is empty. What has no
  // room here, or had to make room, is in ColumnCells.
  uint32_t columns[16];
};
static_assert(sizeof(SiteCell) == 128);
inline constexpr uint32_t kSitesPerChunk = kChunkBytes / sizeof(SiteCell);
// Stands for blocks whose stack is not known, and for sites that the table has no room for.
inline constexpr uint32_t kUnknownSite = 0xffffffff;
inline constexpr int kColumnShift = 25;
inline constexpr uint32_t kColumnBytesMask = (uint32_t{1} << kColumnShift) - 1;
constexpr uint32_t InlineColumn(int column, uint32_t bytes) {
  return static_cast<uint32_t>(column + 1) << kColumnShift | bytes;
}
static_assert(InlineColumn(2 * 32 - 1, kColumnBytesMask) > kColumnBytesMask, "the last column of work fits");

// One number of a site: bytes that died at an age, or bytes allocated in an octave of the
// work clock. key == 0: empty. Cells of one key, and the inline columns of SiteCells, add up.
struct ColumnCell {
  uint64_t key;
  uint64_t bytes;
};
static_assert(sizeof(ColumnCell) == 16);
inline constexpr uint32_t kColumnsPerChunk = kChunkBytes / sizeof(ColumnCell);

// Columns 0..31: bytes freed at an age of [2^(11+i), 2^(12+i)) bytes of work; the first takes
// everything younger, the last everything older.
// Columns 32..63: bytes allocated while the work clock was in [2^(15+i), 2^(16+i)), likewise.
// Columns 64..95: bytes that a cell held (allocated less freed) just before its first allocation while the work clock
// was in that octave, added up over the cells that had allocated before; a single one may be negative. So one snapshot
// shows what a site has grown by since. A block that is reallocated is free at that moment: where a cell's only block
// is, 0 was held, and the growth that follows from it is an upper bound. Only in ColumnCells.
inline constexpr int kOctaves = 32;
inline constexpr int kHeldColumns = 2 * kOctaves;
inline constexpr int kColumns = 3 * kOctaves;
inline constexpr int kAgeOctaveShift = 12;
inline constexpr int kWorkOctaveShift = 16;
constexpr int Octave(uint64_t value, int shift) {
  const int octave = static_cast<int>(std::bit_width(value >> shift));
  return octave < kOctaves ? octave : kOctaves - 1;
}
constexpr int AgeColumn(uint64_t age_bytes) { return Octave(age_bytes, kAgeOctaveShift); }
constexpr int WorkColumn(uint64_t work_bytes) { return kOctaves + Octave(work_bytes, kWorkOctaveShift); }
constexpr uint64_t ColumnKey(uint32_t node, int column) { return static_cast<uint64_t>(column + 1) << 32 | node; }
constexpr uint32_t ColumnNode(uint64_t key) { return static_cast<uint32_t>(key); }
constexpr int ColumnIndex(uint64_t key) { return static_cast<int>(key >> 32) - 1; }

// What a thread counts, alone, without locks. Followed by DeferredEvent[kDeferredEvents].
struct ThreadBuffer {
  uint32_t owner_tid;  // 0: never used. A dead owner's buffer is taken over and counts on
  uint32_t deferred_count;
  uint64_t alloc_count_q16;
  uint64_t alloc_bytes;
  uint64_t free_count_q16;
  uint64_t free_bytes;
  uint64_t temporary_count_q16;
  uint64_t dropped_allocations;
  uint64_t dropped_frees;
  // Not yet in the sums of the header. The process's live bytes are header.live_bytes plus the
  // pending ones of all threads; its peak is at least header.live_bytes plus a thread's
  // pending_peak_bytes. The same for counts.
  int64_t pending_live_bytes;
  int64_t pending_live_count_q16;
  int64_t pending_peak_bytes;
  int64_t pending_peak_count_q16;
  uint64_t pending_work_bytes;
  uint64_t slow_path_calls;
  uint64_t samples;  // blocks entered into the live table
  uint64_t scratch;  // private memory of the process, of no use to readers
};
static_assert(sizeof(ThreadBuffer) == 128);

// What a signal handler did while it interrupted memtrace itself; waits in the thread's buffer
// and is worked off on the way out.
struct DeferredEvent {
  uint64_t address;
  uint64_t size;  // kUnknown: a free
  uint32_t node;
  uint32_t reserved;
};
static_assert(sizeof(DeferredEvent) == 24);
inline constexpr uint32_t kDeferredEvents = 80;

inline constexpr uint32_t kThreadBufferBytes = sizeof(ThreadBuffer) + kDeferredEvents * sizeof(DeferredEvent);
static_assert(kThreadBufferBytes == 2048);

// A mapped ELF file, or a range of executable memory without a file. Addresses are those of
// the process. A module that was unloaded keeps its record; the next one at the same place
// gets another.
struct Module {
  uint64_t start;  // lowest mapped address
  uint64_t end;
  uint64_t bias;         // address - bias is the address in the ELF file
  uint64_t loaded_ns;    // CLOCK_REALTIME when it was first seen
  uint64_t unloaded_ns;  // 0: still there
  uint32_t build_id_bytes;
  uint32_t path_bytes;  // longer paths keep their end
  uint8_t build_id[32];
  uint32_t flags;
  uint8_t reserved[4];
  char path[424];
};
static_assert(sizeof(Module) == 512);
inline constexpr uint32_t kModulesPerChunk = kChunkBytes / sizeof(Module);
inline constexpr uint32_t kModuleNoUnwindTable = 1 << 0;

}  // namespace memtrace::format

#endif  // MEMTRACE_FORMAT_TABLES_H_
