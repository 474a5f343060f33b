// The live table: every recorded block that the program holds, by address.
//
// Linear hashing over buckets of one cache line, two candidate buckets per address, chains of
// overflow buckets where both are full. The table grows with its content, one bucket at a time: bucket n
// takes its share of the content of bucket n - 2^k. No tombstones, nothing is ever moved but in such a split.
//
// Invariants that readers of the file rely on, at any instant:
// - a slot with a key is whole: the key is stored last and cleared first;
// - in a split, entries are copied upwards before the new bucket is published and cleared below afterwards. A copy of
// the
//   file from low to high addresses of the table thus has every block that lived all the while, some of them twice.
#ifndef MEMTRACE_CORE_LIVE_TABLE_H_
#define MEMTRACE_CORE_LIVE_TABLE_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/core/recording.h"
#include "libmemtrace/rt/lock.h"

namespace memtrace::core {

struct LiveBlock {
  uint64_t address;
  uint64_t size;
  uint32_t node;
  uint32_t birth;  // format::EncodeBirth
  uint32_t rate;   // index into Header::rates
};

// Operations on one address never overlap: between the real malloc's return and the real free's call the address
// belongs to the calling thread. Operations on different addresses may run at the same time in any number.
class LiveTable {
 public:
  bool Open(Recording* recording);
  void ForgetInChild();

  // The two buckets where `address` may be, on their way into the cache. Good for Insert and Take whenever they follow.
  struct Homes {
    uint32_t count;  // of buckets, when this was found out
    uint32_t hashes[2];
    format::LiveBucket* buckets[2];
  };
  Homes Locate(uint64_t address) const;
  // False: no room, or a lock was not released in time; the drop is counted. If the table still had a block at that
  // address (it was freed where the library cannot see), that one is removed into *replaced; else replaced->address is
  // 0.
  bool Insert(const Homes& homes, const LiveBlock& block, LiveBlock* replaced);
  bool Insert(const LiveBlock& block, LiveBlock* replaced) { return Insert(Locate(block.address), block, replaced); }
  // Removes the block at `address`. False: it is not here.
  bool Take(const Homes& homes, uint64_t address, LiveBlock* block);
  bool Take(uint64_t address, LiveBlock* block) { return Take(Locate(address), address, block); }
  // Adds buckets until `entries` fit well. A few at a time, by one thread at a time; others go on.
  void GrowFor(uint64_t entries);
  // Re-weighs every block of a finer rate to rates[index]: a block stays with the probability that it would have
  // been sampled with now. *bytes and *count_q16: the change of the sums of weights.
  void Thin(const format::Rate* rates, uint32_t index, uint64_t* dropped, int64_t* bytes, int64_t* count_q16);
  // Slots that the table could have if the whole rest of the file were given to it.
  uint64_t CapacityLeft() const;
  uint64_t capacity() const;

 private:
  struct Place {
    format::LiveBucket* bucket;
    int slot;
    uint32_t index;  // of the home bucket whose lock covers the place
  };
  format::LiveBucket* Bucket(uint32_t index) const;
  format::LiveBucket* Overflow(uint32_t index) const;
  format::LiveBucket* Next(const format::LiveBucket& bucket) const;
  enum class Reach {
    kHome,
    kChain,
    kExtend
  };  // the home bucket; its overflow buckets too; one more of them if need be
  bool InsertInto(uint32_t hash, const LiveBlock& block, Reach reach, bool* full);
  bool InsertAnywhere(const Homes& homes, const LiveBlock& block);
  bool TakeAnywhere(uint64_t address, LiveBlock* block);
  bool FindSlot(uint64_t address, uint32_t count, Place* place) const;
  format::LiveBucket* Extend(format::LiveBucket* last);
  bool CopyLeaving(uint32_t source, uint32_t count, format::LiveBucket* target);
  void ClearLeaving(uint32_t index, uint32_t count);
  bool IsChained(const format::LiveBucket* home, const format::LiveBucket* bucket) const;
  void ReleaseEmpty(format::LiveBucket* home);
  bool SplitOne();

  Recording* recording_ = nullptr;
  rt::Lock split_lock_;
  rt::Lock overflow_lock_;
  uint32_t free_overflow_ = 0;        // first of the unlinked overflow buckets, + 1; under overflow_lock_
  std::atomic<uint32_t> unlinks_{0};  // raised before a chain loses a bucket; pairs with Take
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_LIVE_TABLE_H_
