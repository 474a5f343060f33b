#include "libmemtrace/core/live_table.h"

#include <bit>

#include "libmemtrace/format/weight.h"
#include "libmemtrace/rt/random.h"

namespace memtrace::core {
namespace {

using format::LiveBucket;

constexpr int kSlots = 3;
constexpr uint32_t kSplitsPerCall = 256;
// Content per bucket at which the table grows: two thirds full.
constexpr uint32_t kTargetPerBucket = 2;

struct Hashes {
  uint32_t first;
  uint32_t second;
};

// Both halves of a product: one multiplication for two hashes.
Hashes HashAddress(uint64_t address) {
  __extension__ using Product = unsigned __int128;
  const Product product = Product{address ^ 0xa0761d6478bd642f} * 0xe7037ed1a0b428db;
  const auto mixed = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  return {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
}

// Linear hashing (Litwin 1980): with `count` buckets, those beyond the last power of two have been split off.
uint32_t IndexOf(uint32_t hash, uint32_t count) {
  const uint32_t mask = ~uint32_t{0} >> std::countl_zero(count - 1);  // count is never 1
  const uint32_t index = hash & mask;
  return index < count ? index : hash & (mask >> 1);
}

// Whether bucket `index` is one of the two homes of `address`.
bool HasHome(uint64_t address, uint32_t index, uint32_t count) {
  const Hashes hashes = HashAddress(address);
  return IndexOf(hashes.first, count) == index || IndexOf(hashes.second, count) == index;
}

bool TryLockBucket(LiveBucket* home) {
  return (Atomic(home->meta).fetch_or(format::kBucketLocked, std::memory_order_acquire) & format::kBucketLocked) == 0;
}

[[gnu::noinline]] bool WaitForBucket(LiveBucket* home) {
  return rt::WaitFor([home] { return (Load(home->meta) & format::kBucketLocked) == 0 && TryLockBucket(home); });
}

[[gnu::always_inline]] inline bool LockBucket(LiveBucket* home) {
  return __builtin_expect(TryLockBucket(home), 1) || WaitForBucket(home);
}

// Only the holder of a home's lock changes the words `meta` of its chain: others set the bit that is set already.
// So plain stores do. An unlinked overflow bucket is nobody's but the holder's of overflow_lock_.
//
// The analyser takes the end of Thin's loop over a chain for a test of `home`.
// NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker)
void UnlockBucket(LiveBucket* home) {
  Store(home->meta, Load(home->meta) & ~format::kBucketLocked, std::memory_order_release);
}

void SetNext(LiveBucket* bucket, uint32_t link) {
  Store(bucket->meta, (Load(bucket->meta) & ~format::kBucketNextMask) | link, std::memory_order_release);
}

int EmptySlot(const LiveBucket& bucket) {
  for (int i = 0; i < kSlots; ++i) {
    if (Load(bucket.keys[i]) == 0) return i;
  }
  return -1;
}

uint32_t UsedSlots(const LiveBucket& bucket) {
  uint32_t used = 0;
  for (const uint64_t& key : bucket.keys) used += Load(key) != 0 ? 1 : 0;
  return used;
}

bool HasAddress(uint64_t key, uint64_t address) { return (key ^ address) << (64 - format::kAddressBits) == 0; }

int SlotOf(const LiveBucket& bucket, uint64_t address) {
  for (int i = 0; i < kSlots; ++i) {
    if (HasAddress(Load(bucket.keys[i]), address)) return i;
  }
  return -1;
}

void Fill(LiveBucket* bucket, int slot, const LiveBlock& block) {
  bucket->nodes[slot] = block.node;
  bucket->sizes[slot] = static_cast<uint32_t>(block.size);
  bucket->births[slot] = block.birth;
  Store(bucket->keys[slot], format::LiveKey(block.address, block.rate, block.size), std::memory_order_release);
}

LiveBlock ReadSlot(const LiveBucket& bucket, int slot) {
  const uint64_t key = bucket.keys[slot];
  return {format::KeyAddress(key), format::KeySize(key, bucket.sizes[slot]), bucket.nodes[slot], bucket.births[slot],
          format::KeyRate(key)};
}

}  // namespace

LiveBucket* LiveTable::Bucket(uint32_t index) const {
  return recording_->At<LiveBucket, format::ChunkKind::kLive>(index);
}

LiveBucket* LiveTable::Overflow(uint32_t index) const {
  return recording_->At<LiveBucket, format::ChunkKind::kOverflow>(index);
}

LiveBucket* LiveTable::Next(const LiveBucket& bucket) const {
  const uint32_t next = Load(bucket.meta, std::memory_order_acquire) & format::kBucketNextMask;
  return next == 0 ? nullptr : Overflow(next - 1);
}

bool LiveTable::Open(Recording* recording) {
  recording_ = recording;
  free_overflow_ = 0;
  if (recording->AddChunk(format::ChunkKind::kLive) < 0) return false;
  constexpr uint32_t kInitialBuckets = 64;  // touches one page
  Store(recording->header().live_buckets, kInitialBuckets, std::memory_order_release);
  return true;
}

void LiveTable::ForgetInChild() {
  split_lock_.Reset();
  overflow_lock_.Reset();
}

uint64_t LiveTable::capacity() const { return uint64_t{Load(recording_->header().live_buckets)} * kTargetPerBucket; }

uint64_t LiveTable::CapacityLeft() const {
  const uint64_t mapped = recording_->ChunkCount(format::ChunkKind::kLive);
  return (mapped + recording_->ChunksLeft()) * format::kBucketsPerChunk * kTargetPerBucket;
}

LiveTable::Homes LiveTable::Locate(uint64_t address) const {
  const Hashes hashes = HashAddress(address);
  const uint32_t count = Load(recording_->header().live_buckets, std::memory_order_acquire);
  const Homes homes{count,
                    {hashes.first, hashes.second},
                    {Bucket(IndexOf(hashes.first, count)), Bucket(IndexOf(hashes.second, count))}};
  __builtin_prefetch(homes.buckets[0], 1);
  __builtin_prefetch(homes.buckets[1], 1);
  return homes;
}

// Appends an overflow bucket behind `last`, whose home is locked by the caller.
LiveBucket* LiveTable::Extend(LiveBucket* last) {
  const rt::LockHolder holder(&overflow_lock_);
  if (!holder.held()) return nullptr;
  format::Header& h = recording_->header();
  if (free_overflow_ != 0) {
    const uint32_t link = free_overflow_;
    LiveBucket* bucket = Overflow(link - 1);
    free_overflow_ = Load(bucket->meta) & format::kBucketNextMask;
    SetNext(bucket, 0);
    SetNext(last, link);
    return bucket;
  }
  const uint32_t index = h.overflow_buckets;
  if (index >= format::kBucketNextMask) return nullptr;
  if (index / format::kBucketsPerChunk >= recording_->ChunkCount(format::ChunkKind::kOverflow) &&
      recording_->AddChunk(format::ChunkKind::kOverflow) < 0) {
    return nullptr;
  }
  Store(h.overflow_buckets, index + 1, std::memory_order_release);
  SetNext(last, index + 1);
  return Overflow(index);
}

bool LiveTable::IsChained(const LiveBucket* home, const LiveBucket* bucket) const {
  while (home != nullptr && home != bucket) home = Next(*home);
  return home != nullptr;
}

// Takes empty overflow buckets out of the chain of `home`, which the caller has locked: else churn would sooner or
// later give every bucket one. Somebody may be walking the chain: he finds empty slots, and that unlinks_ has changed.
void LiveTable::ReleaseEmpty(LiveBucket* home) {
  LiveBucket* before = home;
  while (LiveBucket* bucket = Next(*before)) {
    if (UsedSlots(*bucket) != 0) {
      before = bucket;
      continue;
    }
    if (!overflow_lock_.TryAcquire()) return;  // it stays, for the next block that comes
    const uint32_t link = Load(before->meta) & format::kBucketNextMask;
    unlinks_.fetch_add(1, std::memory_order_acq_rel);
    SetNext(before, Load(bucket->meta) & format::kBucketNextMask);
    SetNext(bucket, free_overflow_);
    free_overflow_ = link;
    overflow_lock_.Release();
  }
}

// Tries the home bucket of `hash` as far as `reach` says. Returns false when there was no room (*full) or no lock.
bool LiveTable::InsertInto(uint32_t hash, const LiveBlock& block, Reach reach, bool* full) {
  for (;;) {
    const uint32_t count = Load(recording_->header().live_buckets, std::memory_order_acquire);
    const uint32_t index = IndexOf(hash, count);
    LiveBucket* home = Bucket(index);
    *full = false;
    if (!LockBucket(home)) return false;
    // A split may have moved the hash's home while we waited.
    if (IndexOf(hash, Load(recording_->header().live_buckets, std::memory_order_acquire)) != index) {
      UnlockBucket(home);
      continue;
    }
    LiveBucket* bucket = home;
    int slot = EmptySlot(*bucket);
    while (slot < 0 && reach != Reach::kHome) {
      LiveBucket* next = Next(*bucket);
      if (next == nullptr && reach == Reach::kExtend) next = Extend(bucket);
      if (next == nullptr) break;
      bucket = next;
      slot = EmptySlot(*bucket);
    }
    if (slot >= 0) Fill(bucket, slot, block);
    *full = slot < 0;
    UnlockBucket(home);
    return slot >= 0;
  }
}

bool LiveTable::Insert(const Homes& homes, const LiveBlock& block, LiveBlock* replaced) {
  replaced->address = 0;
  if (block.address > format::kAddressMask || block.size > format::kMaxBlockBytes) [[unlikely]] {
    recording_->CountDrop(format::Drop::kUnrepresentable);
    return false;
  }
  // A block that was freed where we could not see it: its address is used again. Chains are not searched for that: they
  // are rare, such blocks too, and every allocation would pay.
  if (SlotOf(*homes.buckets[0], block.address) >= 0 || SlotOf(*homes.buckets[1], block.address) >= 0) [[unlikely]] {
    LiveBlock stale;
    if (TakeAnywhere(block.address, &stale)) *replaced = stale;
    return InsertAnywhere(homes, block);
  }
  LiveBucket* home = homes.buckets[UsedSlots(*homes.buckets[0]) <= UsedSlots(*homes.buckets[1]) ? 0 : 1];
  if (LockBucket(home)) [[likely]] {
    // No split has moved the bucket's content since.
    const bool same = Load(recording_->header().live_buckets, std::memory_order_acquire) == homes.count;
    // Without branches, which would be guessed wrong: the first empty slot, 3 if there is none.
    const uint32_t first = Load(home->keys[0]) != 0 ? 1 : 0;
    const uint32_t second = first & (Load(home->keys[1]) != 0 ? 1 : 0);
    const uint32_t third = second & (Load(home->keys[2]) != 0 ? 1 : 0);
    const bool fits = same && third == 0;
    if (fits) [[likely]]
      Fill(home, static_cast<int>(first + second), block);
    UnlockBucket(home);
    if (fits) [[likely]]
      return true;
  }
  return InsertAnywhere(homes, block);
}

[[gnu::noinline]] bool LiveTable::InsertAnywhere(const Homes& homes, const LiveBlock& block) {
  const uint32_t count = Load(recording_->header().live_buckets, std::memory_order_acquire);
  const uint32_t used[2] = {UsedSlots(*Bucket(IndexOf(homes.hashes[0], count))),
                            UsedSlots(*Bucket(IndexOf(homes.hashes[1], count)))};
  const uint32_t better = homes.hashes[used[0] <= used[1] ? 0 : 1];
  const uint32_t other = homes.hashes[used[0] <= used[1] ? 1 : 0];
  // Every chain is filled up before one grows: they never shrink, and churn would extend one after the other.
  const struct {
    uint32_t hash;
    Reach reach;
  } attempts[] = {{better, Reach::kHome},
                  {other, Reach::kHome},
                  {better, Reach::kChain},
                  {other, Reach::kChain},
                  {better, Reach::kExtend}};
  bool full = true;
  for (const auto& attempt : attempts) {
    if (full && InsertInto(attempt.hash, block, attempt.reach, &full)) return true;
  }
  recording_->CountDrop(full ? format::Drop::kTableFull : format::Drop::kBusy);
  return false;
}

bool LiveTable::FindSlot(uint64_t address, uint32_t count, Place* place) const {
  const Hashes hashes = HashAddress(address);
  const uint32_t homes[2] = {IndexOf(hashes.first, count), IndexOf(hashes.second, count)};
  for (const uint32_t index : homes) {
    const int slot = SlotOf(*Bucket(index), address);
    if (slot >= 0) {
      *place = {Bucket(index), slot, index};
      return true;
    }
  }
  for (const uint32_t index : homes) {
    for (LiveBucket* bucket = Next(*Bucket(index)); bucket != nullptr; bucket = Next(*bucket)) {
      const int slot = SlotOf(*bucket, address);
      if (slot >= 0) {
        *place = {bucket, slot, index};
        return true;
      }
    }
  }
  return false;
}

bool LiveTable::Take(const Homes& homes, uint64_t address, LiveBlock* block) {
  if (address == 0 || address > format::kAddressMask) return false;
  // Without branches, which would be guessed wrong.
  uint64_t* found = nullptr;
  for (LiveBucket* bucket : homes.buckets) {
    for (uint64_t& key : bucket->keys) found = HasAddress(Load(key), address) ? &key : found;
  }
  if (found != nullptr) [[likely]] {
    const auto at = reinterpret_cast<uintptr_t>(found);
    auto* home = reinterpret_cast<LiveBucket*>(at & ~(sizeof(LiveBucket) - 1));
    const auto slot = static_cast<int>(at % sizeof(LiveBucket) / sizeof(uint64_t));
    if (LockBucket(home)) [[likely]] {
      const bool still_there = HasAddress(Load(*found), address) &&
                               Load(recording_->header().live_buckets, std::memory_order_acquire) == homes.count;
      if (still_there) [[likely]] {
        *block = ReadSlot(*home, slot);
        Store(*found, uint64_t{0}, std::memory_order_release);
      }
      UnlockBucket(home);
      if (still_there) [[likely]]
        return true;
    }
  }
  return TakeAnywhere(address, block);
}

[[gnu::noinline]] bool LiveTable::TakeAnywhere(uint64_t address, LiveBlock* block) {
  for (;;) {
    const uint32_t count = Load(recording_->header().live_buckets, std::memory_order_acquire);
    const uint32_t unlinks = unlinks_.load(std::memory_order_acquire);
    Place place;
    if (!FindSlot(address, count, &place)) {
      // A split moves entries only around the publication of the new count, and chains lose buckets only after unlinks_
      // was raised: both unchanged, nothing was missed.
      std::atomic_thread_fence(std::memory_order_acquire);
      if (Load(recording_->header().live_buckets, std::memory_order_acquire) == count &&
          unlinks_.load(std::memory_order_acquire) == unlinks) {
        return false;
      }
      continue;
    }
    LiveBucket* home = Bucket(place.index);
    if (!LockBucket(home)) {
      recording_->CountDrop(format::Drop::kBusy);
      return false;
    }
    const bool still_there = format::KeyAddress(Load(place.bucket->keys[place.slot])) == address &&
                             Load(recording_->header().live_buckets, std::memory_order_acquire) == count &&
                             IsChained(home, place.bucket);
    if (still_there) {
      *block = ReadSlot(*place.bucket, place.slot);
      Store(place.bucket->keys[place.slot], uint64_t{0}, std::memory_order_release);
      if (place.bucket != home) ReleaseEmpty(home);
    }
    UnlockBucket(home);
    if (still_there) return true;
  }
}

// Copies what leaves bucket `source` when there are `count` buckets into the chain of `target`.
bool LiveTable::CopyLeaving(uint32_t source, uint32_t count, LiveBucket* target) {
  for (LiveBucket* bucket = Bucket(source); bucket != nullptr; bucket = Next(*bucket)) {
    for (int i = 0; i < kSlots; ++i) {
      const uint64_t key = Load(bucket->keys[i]);
      if (key == 0 || HasHome(format::KeyAddress(key), source, count)) continue;
      int slot = EmptySlot(*target);
      if (slot < 0) {
        target = Extend(target);
        slot = 0;
      }
      if (target == nullptr) return false;
      Fill(target, slot, ReadSlot(*bucket, i));
    }
  }
  return true;
}

// Clears every entry in the chain of bucket `index` that has no home there.
void LiveTable::ClearLeaving(uint32_t index, uint32_t count) {
  for (LiveBucket* bucket = Bucket(index); bucket != nullptr; bucket = Next(*bucket)) {
    for (uint64_t& slot : bucket->keys) {
      const uint64_t key = Load(slot);
      if (key != 0 && !HasHome(format::KeyAddress(key), index, count))
        Store(slot, uint64_t{0}, std::memory_order_release);
    }
  }
}

// Adds one bucket and moves its share over from the bucket below. The caller holds split_lock_.
bool LiveTable::SplitOne() {
  format::Header& h = recording_->header();
  const uint32_t count = h.live_buckets;
  if (count / format::kBucketsPerChunk >= recording_->ChunkCount(format::ChunkKind::kLive) &&
      recording_->AddChunk(format::ChunkKind::kLive) < 0) {
    return false;
  }
  const uint32_t source = count - std::bit_floor(count);
  LiveBucket* home = Bucket(source);
  if (!LockBucket(home)) return false;
  const bool copied = CopyLeaving(source, count + 1, Bucket(count));
  if (copied) {
    Store(h.live_buckets, count + 1, std::memory_order_release);
    ClearLeaving(source, count + 1);
    ReleaseEmpty(home);
  } else {
    ClearLeaving(count, count);  // nothing has its home in a bucket that is not in use
  }
  UnlockBucket(home);
  return copied;
}

void LiveTable::Thin(const format::Rate* rates, uint32_t index, uint64_t* dropped, int64_t* bytes, int64_t* count_q16) {
  const rt::LockHolder splits(&split_lock_);
  if (!splits.held()) return;
  uint64_t random = rt::RandomSeed() | 1;
  const uint32_t count = Load(recording_->header().live_buckets, std::memory_order_acquire);
  for (uint32_t i = 0; i < count; ++i) {
    LiveBucket* home = Bucket(i);
    if (!LockBucket(home)) continue;
    for (LiveBucket* bucket = home; bucket != nullptr; bucket = Next(*bucket)) {
      for (int slot = 0; slot < kSlots; ++slot) {
        if (bucket->keys[slot] == 0) continue;
        LiveBlock block = ReadSlot(*bucket, slot);
        if (rates[block.rate].bytes >= rates[index].bytes) continue;  // as coarse already: sampled on the brink
        const double before = format::Probability(block.size, rates[block.rate].bytes);
        const double after = format::Probability(block.size, rates[index].bytes);
        const format::Weight old = format::WeightOf(block.size, rates[block.rate].bytes);
        format::Weight now{0, 0};
        if (rt::NextUniform(&random) * before <= after) {
          now = format::WeightOf(block.size, rates[index].bytes);
          block.rate = index;
          Store(bucket->keys[slot], format::LiveKey(block.address, block.rate, block.size), std::memory_order_release);
        } else {
          Store(bucket->keys[slot], uint64_t{0}, std::memory_order_release);
          *dropped += 1;
        }
        *bytes += static_cast<int64_t>(now.bytes) - static_cast<int64_t>(old.bytes);
        *count_q16 += static_cast<int64_t>(now.count_q16) - static_cast<int64_t>(old.count_q16);
      }
    }
    UnlockBucket(home);
  }
}

void LiveTable::GrowFor(uint64_t entries) {
  if (entries <= capacity() || !split_lock_.TryAcquire()) return;
  for (uint32_t i = 0; i < kSplitsPerCall && entries > capacity(); ++i) {
    if (!SplitOne()) break;
  }
  split_lock_.Release();
}

}  // namespace memtrace::core
