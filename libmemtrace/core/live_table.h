// The live table: every recorded block that the program holds, by address.
//
// Linear hashing over buckets of one cache line, two candidate buckets per address, chains of
// overflow buckets where both are full. The table grows with its content, one bucket at a time: bucket n
// takes its share of the content of bucket n - 2^k. No tombstones, nothing is ever moved but in such a split.
//
// Invariants that readers of the file rely on, at any instant:
// - a slot with a key is whole: the key is stored last and cleared first;
// - in a split, entries are copied upwards before the new bucket is published and cleared below afterwards. A copy of
//   the file from low to high addresses of the table thus has every block that lived all the while, some of them twice.
#ifndef MEMTRACE_CORE_LIVE_TABLE_H_
#define MEMTRACE_CORE_LIVE_TABLE_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/core/live_bucket.h"
#include "libmemtrace/core/recording.h"
#include "libmemtrace/rt/lock.h"

namespace memtrace::core {

// Operations on one address never overlap: between the real malloc's return and the real free's call the address
// belongs to the calling thread. Operations on different addresses may run at the same time in any number.
class LiveTable {
 public:
  bool Open(Recording* recording);
  void ForgetInChild();

  // The two buckets where `address` may be, on their way into the cache. Good for Insert and Take whenever they follow.
  struct Homes {
    uint32_t count;  // of buckets, when this was found out
    Hashes hashes;
    format::LiveBucket* buckets[2];
  };
  Homes Locate(uint64_t address) const {
    const Hashes hashes = HashAddress(address);
    const Extent extent = ExtentNow();
    const Homes homes{
        extent.count, hashes, {Bucket(extent.IndexOf(hashes.first)), Bucket(extent.IndexOf(hashes.second))}};
    __builtin_prefetch(homes.buckets[0], 1);
    __builtin_prefetch(homes.buckets[1], 1);
    return homes;
  }
  // False: no room, or a lock was not released in time; the drop is counted. If the table still had a block at that
  // address (it was freed where the library cannot see), that one is removed into *replaced; else replaced->address is
  // 0.
  [[gnu::always_inline]] bool Insert(const Homes& homes, const LiveBlock& block, LiveBlock* replaced) {
    replaced->address = 0;
    const Content first = Look(*homes.buckets[0], block.address);
    const Content second = Look(*homes.buckets[1], block.address);
    const bool fits = block.address <= format::kAddressMask && block.size <= format::kMaxBlockBytes;
    format::LiveBucket* home = first.used <= second.used ? homes.buckets[0] : homes.buckets[1];
    if (fits && !first.has_address && !second.has_address && LockBucket(home)) [[likely]] {
      const uint32_t slot = FirstEmptySlot(*home);
      const bool room = slot != kBucketSlots && IsCurrent(homes);
      if (room) [[likely]]
        FillSlot(home, slot, block);
      UnlockBucket(home);
      if (room) [[likely]]
        return true;
    }
    return InsertAnywhere(homes, block, replaced);
  }
  bool Insert(const LiveBlock& block, LiveBlock* replaced) { return Insert(Locate(block.address), block, replaced); }
  // Removes the block at `address`. False: it is not here.
  [[gnu::always_inline]] bool Take(const Homes& homes, uint64_t address, LiveBlock* block) {
    uint64_t* key = FindKey(homes.buckets, address);
    const auto at = reinterpret_cast<uintptr_t>(key);
    auto* home = reinterpret_cast<format::LiveBucket*>(at & ~(sizeof(format::LiveBucket) - 1));
    if (key != nullptr && address - 1 < format::kAddressMask && LockBucket(home)) [[likely]] {
      const bool still_there = HasAddress(Load(*key), address) && IsCurrent(homes);
      if (still_there) [[likely]] {
        *block = ReadSlot(*home, static_cast<uint32_t>(at % sizeof(format::LiveBucket) / sizeof(*key)));
        Store(*key, uint64_t{0}, std::memory_order_release);
      }
      UnlockBucket(home);
      if (still_there) [[likely]]
        return true;
    }
    return TakeAnywhere(address, block);
  }
  bool Take(uint64_t address, LiveBlock* block) { return Take(Locate(address), address, block); }
  // Adds buckets until `entries` fit well. A few at a time, by one thread at a time; others go on.
  void GrowFor(uint64_t entries);
  // Re-weighs every block of a finer rate to rates[index]: a block stays with the probability that it would have
  // been sampled with now; `gone` is called for the others. *bytes and *count_q16: the change of the sums of weights.
  // `seed`: of the chance that decides.
  void Thin(const format::Rate* rates, uint32_t index, uint64_t seed, void (*gone)(uint64_t address), int64_t* bytes,
            int64_t* count_q16);
  // Slots that the table could have if the whole rest of the file were given to it.
  uint64_t CapacityLeft() const;
  uint64_t capacity() const;

 private:
  struct Place {
    format::LiveBucket* bucket;
    uint32_t slot;
    format::LiveBucket* home;  // whose lock covers the place
  };
  // Also in Header::live_buckets, which is for readers.
  Extent ExtentNow() const {
    const uint64_t packed = extent_.load(std::memory_order_acquire);
    return {static_cast<uint32_t>(packed), static_cast<uint32_t>(packed >> 32)};
  }
  uint32_t CountNow() const { return ExtentNow().count; }
  void SetCount(uint32_t count);
  // No split has moved a bucket's content since: pairs with the lock of the bucket, which a split holds.
  bool IsCurrent(const Homes& homes) const { return CountNow() == homes.count; }
  format::LiveBucket* Bucket(uint32_t index) const {
    const uint32_t chunk = chunks_[index / format::kBucketsPerChunk];
    return reinterpret_cast<format::LiveBucket*>(base_ + uint64_t{chunk} * format::kChunkBytes) +
           index % format::kBucketsPerChunk;
  }
  format::LiveBucket* Overflow(uint32_t index) const;
  format::LiveBucket* Next(const format::LiveBucket& bucket) const;
  enum class Reach {
    kHome,
    kChain,
    kExtend
  };  // the home bucket; its overflow buckets too; one more of them if need be
  bool InsertInto(uint32_t hash, const LiveBlock& block, Reach reach, bool* full);
  bool InsertAnywhere(const Homes& homes, const LiveBlock& block, LiveBlock* replaced);
  bool TakeAnywhere(uint64_t address, LiveBlock* block);
  bool FindSlot(uint64_t address, Extent extent, Place* place) const;
  format::LiveBucket* Extend(format::LiveBucket* last);
  bool CopyLeaving(uint32_t source, Extent extent, format::LiveBucket* target);
  void ClearLeaving(uint32_t index, Extent extent);
  bool IsChained(const format::LiveBucket* home, const format::LiveBucket* bucket) const;
  void ReleaseEmpty(format::LiveBucket* home);
  bool SplitOne();

  std::atomic<uint64_t> extent_{0};
  uint8_t* base_ = nullptr;           // of the recording's chunks
  const uint16_t* chunks_ = nullptr;  // numbers of those that hold the table
  Recording* recording_ = nullptr;
  rt::Lock split_lock_;
  rt::Lock overflow_lock_;
  uint32_t free_overflow_ = 0;        // first of the unlinked overflow buckets, + 1; under overflow_lock_
  std::atomic<uint32_t> unlinks_{0};  // raised when a bucket has left its chain; pairs with Take
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_LIVE_TABLE_H_
