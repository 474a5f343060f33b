#include "libmemtrace/core/live_table.h"

#include <bit>

#include "libmemtrace/format/weight.h"
#include "libmemtrace/rt/random.h"

namespace memtrace::core {
namespace {

using format::LiveBucket;

constexpr uint32_t kSplitsPerCall = 256;
// Content per bucket at which the table grows: two thirds full.
constexpr uint32_t kTargetPerBucket = 2;

// Whether bucket `index` is one of the two homes of `address`.
bool HasHome(uint64_t address, uint32_t index, Extent extent) {
  const Hashes hashes = HashAddress(address);
  return extent.IndexOf(hashes.first) == index || extent.IndexOf(hashes.second) == index;
}

Extent ExtentOf(uint32_t count) { return {count, std::bit_ceil(count) - 1}; }

bool IsEmpty(const LiveBucket& bucket) {
  return Load(bucket.keys[0]) == 0 && Load(bucket.keys[1]) == 0 && Load(bucket.keys[2]) == 0;
}

}  // namespace

[[gnu::noinline]] bool WaitForBucket(LiveBucket* home) {
  return rt::WaitFor([home] { return TryLockBucket(home); });
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
  base_ = recording->chunks();
  chunks_ = recording->Numbers(format::ChunkKind::kLive);
  SetCount(kInitialBuckets);
  return true;
}

void LiveTable::SetCount(uint32_t count) {
  Store(recording_->header().live_buckets, count, std::memory_order_release);
  extent_.store(count | uint64_t{ExtentOf(count).mask} << 32, std::memory_order_release);
}

void LiveTable::ForgetInChild() {
  split_lock_.Reset();
  overflow_lock_.Reset();
}

uint64_t LiveTable::capacity() const { return uint64_t{CountNow()} * kTargetPerBucket; }

uint64_t LiveTable::CapacityLeft() const {
  const uint64_t mapped = recording_->ChunkCount(format::ChunkKind::kLive);
  return (mapped + recording_->ChunksLeft()) * format::kBucketsPerChunk * kTargetPerBucket;
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
    if (!IsEmpty(*bucket)) {
      before = bucket;
      continue;
    }
    if (!overflow_lock_.TryAcquire()) return;  // it stays, for the next block that comes
    const uint32_t link = Load(before->meta) & format::kBucketNextMask;
    SetNext(before, Load(bucket->meta) & format::kBucketNextMask);
    // In between: who read unlinks_ before this finds it changed, who reads it now does not come to the bucket any
    // more.
    unlinks_.fetch_add(1, std::memory_order_acq_rel);
    SetNext(bucket, free_overflow_);
    free_overflow_ = link;
    overflow_lock_.Release();
  }
}

// Tries the home bucket of `hash` as far as `reach` says. Returns false when there was no room (*full) or no lock.
bool LiveTable::InsertInto(uint32_t hash, const LiveBlock& block, Reach reach, bool* full) {
  for (;;) {
    const uint32_t index = ExtentNow().IndexOf(hash);
    LiveBucket* home = Bucket(index);
    *full = false;
    if (!LockBucket(home)) return false;
    // A split may have moved the hash's home while we waited.
    if (ExtentNow().IndexOf(hash) != index) {
      UnlockBucket(home);
      continue;
    }
    LiveBucket* bucket = home;
    uint32_t slot = FirstEmptySlot(*bucket);
    while (slot == kBucketSlots && reach != Reach::kHome) {
      LiveBucket* next = Next(*bucket);
      if (next == nullptr && reach == Reach::kExtend) next = Extend(bucket);
      if (next == nullptr) break;
      bucket = next;
      slot = FirstEmptySlot(*bucket);
    }
    *full = slot == kBucketSlots;
    if (!*full) FillSlot(bucket, slot, block);
    UnlockBucket(home);
    return !*full;
  }
}

// What Insert does not do at once: the table has changed under it, both homes are full, or the address is still here.
bool LiveTable::InsertAnywhere(const Homes& homes, const LiveBlock& block, LiveBlock* replaced) {
  if (block.address > format::kAddressMask || block.size > format::kMaxBlockBytes) {
    recording_->CountDrop(format::Drop::kUnrepresentable);
    return false;
  }
  const Extent extent = ExtentNow();
  const Content first = Look(*Bucket(extent.IndexOf(homes.hashes.first)), block.address);
  const Content second = Look(*Bucket(extent.IndexOf(homes.hashes.second)), block.address);
  // A block that was freed where we could not see it: its address is used again. Chains are not searched for that: they
  // are rare, such blocks too, and every allocation would pay.
  if (first.has_address || second.has_address) {
    LiveBlock stale;
    if (TakeAnywhere(block.address, &stale)) *replaced = stale;
  }
  const uint32_t better = first.used <= second.used ? homes.hashes.first : homes.hashes.second;
  const uint32_t other = first.used <= second.used ? homes.hashes.second : homes.hashes.first;
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

bool LiveTable::FindSlot(uint64_t address, Extent extent, Place* place) const {
  const Hashes hashes = HashAddress(address);
  LiveBucket* const homes[2] = {Bucket(extent.IndexOf(hashes.first)), Bucket(extent.IndexOf(hashes.second))};
  for (LiveBucket* home : homes) {
    for (LiveBucket* bucket = home; bucket != nullptr; bucket = Next(*bucket)) {
      for (uint32_t slot = 0; slot < kBucketSlots; ++slot) {
        if (!HasAddress(Load(bucket->keys[slot]), address)) continue;
        *place = {bucket, slot, home};
        return true;
      }
    }
  }
  return false;
}

bool LiveTable::TakeAnywhere(uint64_t address, LiveBlock* block) {
  if (address == 0 || address > format::kAddressMask) return false;
  for (;;) {
    const Extent extent = ExtentNow();
    const uint32_t unlinks = unlinks_.load(std::memory_order_acquire);
    Place place;
    if (!FindSlot(address, extent, &place)) {
      // A split moves entries only around the publication of the new count, and a bucket leads out of its chain only
      // after unlinks_ was raised: both unchanged, nothing was missed.
      std::atomic_thread_fence(std::memory_order_acquire);
      if (CountNow() == extent.count && unlinks_.load(std::memory_order_acquire) == unlinks) return false;
      continue;
    }
    if (!LockBucket(place.home)) {
      recording_->CountDrop(format::Drop::kBusy);
      return false;
    }
    const bool still_there = HasAddress(Load(place.bucket->keys[place.slot]), address) && CountNow() == extent.count &&
                             IsChained(place.home, place.bucket);
    if (still_there) {
      *block = ReadSlot(*place.bucket, place.slot);
      Store(place.bucket->keys[place.slot], uint64_t{0}, std::memory_order_release);
      if (place.bucket != place.home) ReleaseEmpty(place.home);
    }
    UnlockBucket(place.home);
    if (still_there) return true;
  }
}

// Copies what leaves bucket `source` when the table has that extent into the chain of `target`.
bool LiveTable::CopyLeaving(uint32_t source, Extent extent, LiveBucket* target) {
  for (LiveBucket* bucket = Bucket(source); bucket != nullptr; bucket = Next(*bucket)) {
    for (uint32_t i = 0; i < kBucketSlots; ++i) {
      const uint64_t key = Load(bucket->keys[i]);
      if (key == 0 || HasHome(format::KeyAddress(key), source, extent)) continue;
      uint32_t slot = FirstEmptySlot(*target);
      if (slot == kBucketSlots) {
        target = Extend(target);
        slot = 0;
      }
      if (target == nullptr) return false;
      FillSlot(target, slot, ReadSlot(*bucket, i));
    }
  }
  return true;
}

// Clears every entry in the chain of bucket `index` that has no home there.
void LiveTable::ClearLeaving(uint32_t index, Extent extent) {
  for (LiveBucket* bucket = Bucket(index); bucket != nullptr; bucket = Next(*bucket)) {
    for (uint64_t& slot : bucket->keys) {
      const uint64_t key = Load(slot);
      if (key != 0 && !HasHome(format::KeyAddress(key), index, extent))
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
  const bool copied = CopyLeaving(source, ExtentOf(count + 1), Bucket(count));
  if (copied) {
    SetCount(count + 1);
    ClearLeaving(source, ExtentOf(count + 1));
    ReleaseEmpty(home);
  } else {
    ClearLeaving(count, ExtentOf(count));  // nothing has its home in a bucket that is not in use
  }
  UnlockBucket(home);
  return copied;
}

void LiveTable::Thin(const format::Rate* rates, uint32_t index, uint64_t seed, void (*gone)(uint64_t address),
                     int64_t* bytes, int64_t* count_q16) {
  const rt::LockHolder splits(&split_lock_);
  if (!splits.held()) return;
  uint64_t random = rt::Mix(seed) | 1;
  const uint32_t count = CountNow();
  for (uint32_t i = 0; i < count; ++i) {
    LiveBucket* home = Bucket(i);
    if (!LockBucket(home)) continue;
    for (LiveBucket* bucket = home; bucket != nullptr; bucket = Next(*bucket)) {
      for (uint32_t slot = 0; slot < kBucketSlots; ++slot) {
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
          gone(block.address);
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
