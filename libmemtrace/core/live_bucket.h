// Buckets of the live table: which ones an address may be in, their locks, their slots. All of it runs for every
// recorded allocation and free, so it is inline and, where a branch would be guessed wrong, without branches.
#ifndef MEMTRACE_CORE_LIVE_BUCKET_H_
#define MEMTRACE_CORE_LIVE_BUCKET_H_

#include <cstdint>

#include "libmemtrace/core/recording.h"

namespace memtrace::core {

struct LiveBlock {
  uint64_t address;
  uint64_t size;
  uint32_t node;
  uint32_t birth;  // format::EncodeBirth
  uint32_t rate;   // index into Header::rates
};

inline constexpr int kBucketSlots = 3;

struct Hashes {
  uint32_t first;
  uint32_t second;
};

// Both halves of a product: one multiplication for two hashes (wyhash's mixing step).
inline Hashes HashAddress(uint64_t address) {
  __extension__ using Product = unsigned __int128;
  const Product product = Product{address ^ 0xa0761d6478bd642f} * 0xe7037ed1a0b428db;
  const auto mixed = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  return {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
}

// How many buckets there are. Linear hashing (Litwin 1980): with `count` buckets, those beyond the last power of two
// have been split off.
struct Extent {
  uint32_t count;  // at least 2
  uint32_t mask;   // bit_ceil(count) - 1

  uint32_t IndexOf(uint32_t hash) const {
    const uint32_t index = hash & mask;
    return index < count ? index : index & (mask >> 1);
  }
};

inline bool TryLockBucket(format::LiveBucket* home) {
  uint32_t meta = Load(home->meta);
  return (meta & format::kBucketLocked) == 0 &&
         Atomic(home->meta)
             .compare_exchange_strong(meta, meta | format::kBucketLocked, std::memory_order_acquire,
                                      std::memory_order_relaxed);
}

// False: the lock was not released in time.
bool WaitForBucket(format::LiveBucket* home);
[[gnu::always_inline]] inline bool LockBucket(format::LiveBucket* home) {
  return __builtin_expect(TryLockBucket(home), 1) || WaitForBucket(home);
}

// Only the holder of a home's lock changes the words `meta` of its chain, so plain stores do. An unlinked overflow
// bucket is nobody's but the holder's of overflow_lock_.
inline void UnlockBucket(format::LiveBucket* home) {
  Store(home->meta, Load(home->meta) & ~format::kBucketLocked, std::memory_order_release);
}
inline void SetNext(format::LiveBucket* bucket, uint32_t link) {
  Store(bucket->meta, (Load(bucket->meta) & ~format::kBucketNextMask) | link, std::memory_order_release);
}

inline bool HasAddress(uint64_t key, uint64_t address) { return (key ^ address) << (64 - format::kAddressBits) == 0; }

// What an allocation wants to know about a bucket.
struct Content {
  uint32_t used;  // slots
  bool has_address;
};
[[gnu::always_inline]] inline Content Look(const format::LiveBucket& bucket, uint64_t address) {
  const uint64_t a = Load(bucket.keys[0]);
  const uint64_t b = Load(bucket.keys[1]);
  const uint64_t c = Load(bucket.keys[2]);
  static_assert(kBucketSlots == 3);
  return {(a != 0 ? 1u : 0u) + (b != 0 ? 1u : 0u) + (c != 0 ? 1u : 0u),
          HasAddress(a, address) || HasAddress(b, address) || HasAddress(c, address)};
}

// kBucketSlots: there is none.
[[gnu::always_inline]] inline uint32_t FirstEmptySlot(const format::LiveBucket& bucket) {
  const uint32_t first = Load(bucket.keys[0]) != 0 ? 1 : 0;
  const uint32_t second = first & (Load(bucket.keys[1]) != 0 ? 1 : 0);
  return first + second + (second & (Load(bucket.keys[2]) != 0 ? 1 : 0));
}

// The key with this address, which is not 0, in one of two buckets; nullptr if there is none.
[[gnu::always_inline]] inline uint64_t* FindKey(format::LiveBucket* const (&buckets)[2], uint64_t address) {
  uint64_t* found = nullptr;
  const auto look = [&found, address](uint64_t* key) { found = HasAddress(Load(*key), address) ? key : found; };
  look(&buckets[0]->keys[0]);
  look(&buckets[0]->keys[1]);
  look(&buckets[0]->keys[2]);
  look(&buckets[1]->keys[0]);
  look(&buckets[1]->keys[1]);
  look(&buckets[1]->keys[2]);
  return found;
}

inline void FillSlot(format::LiveBucket* bucket, uint32_t slot, const LiveBlock& block) {
  bucket->nodes[slot] = block.node;
  bucket->sizes[slot] = static_cast<uint32_t>(block.size);
  bucket->births[slot] = block.birth;
  Store(bucket->keys[slot], format::LiveKey(block.address, block.rate, block.size), std::memory_order_release);
}

inline LiveBlock ReadSlot(const format::LiveBucket& bucket, uint32_t slot) {
  const uint64_t key = bucket.keys[slot];
  return {format::KeyAddress(key), format::KeySize(key, bucket.sizes[slot]), bucket.nodes[slot], bucket.births[slot],
          format::KeyRate(key)};
}

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_LIVE_BUCKET_H_
