#include "libmemtrace/core/block_graph.h"

#include "libmemtrace/core/live_bucket.h"

namespace memtrace::core {
namespace {

using format::KeyAddress;
using unwind::LoadUnaligned;
using unwind::MemoryRange;

constexpr uintptr_t kWord = sizeof(uintptr_t);

// The word in front of a block of glibc's malloc: the size of its chunk, which begins another word before, and flags.
struct GlibcChunk {
  static constexpr uintptr_t kMapped = 2;
  static constexpr uintptr_t kOtherArena = 4;
  explicit GlibcChunk(uintptr_t block) : word(LoadUnaligned<uintptr_t>(block - kWord)), begin(block - 2 * kWord) {}
  uintptr_t bytes() const { return word & ~uintptr_t{7}; }
  uintptr_t word;
  uintptr_t begin;
};

}  // namespace

bool BlockGraph::Add(const format::LiveBucket& bucket) {
  constexpr uint64_t kRateBits = uint64_t{63} << format::kAddressBits;
  for (uint32_t slot = 0; slot < kBucketSlots; ++slot) {
    if (bucket.keys[slot] == 0) continue;
    if (count_ == capacity_) return false;
    blocks_[count_++] = {bucket.keys[slot] & ~kRateBits, bucket.sizes[slot], bucket.births[slot]};
  }
  return true;
}

// By the six bytes of the address, one after the other: an even number of passes ends where it began.
void BlockGraph::Sort() {
  for (int shift = 0; shift < format::kAddressBits; shift += 8) {
    uint32_t starts[257] = {};
    for (uint32_t i = 0; i < count_; ++i) ++starts[(blocks_[i].key >> shift & 255) + 1];
    for (int i = 1; i < 257; ++i) starts[i] += starts[i - 1];
    for (uint32_t i = 0; i < count_; ++i) spare_[starts[blocks_[i].key >> shift & 255]++] = blocks_[i];
    Block* sorted = spare_;
    spare_ = blocks_;
    blocks_ = sorted;
  }
}

bool BlockGraph::FindWindows(uintptr_t largest_hole) {
  window_count_ = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    if (i == 0 || Begin(blocks_[i]) - Begin(blocks_[i - 1]) > largest_hole) {
      if (window_count_ == kMostWindows) return false;
      windows_[window_count_++] = {Begin(blocks_[i]), i, i, 0, nullptr};
    }
    windows_[window_count_ - 1].end = i + 1;
  }
  return true;
}

// No more steps than blocks, so that all windows together need one number per block and two per window.
void BlockGraph::FillWindow(Window* window) {
  const uint32_t blocks = window->end - window->first;
  const uintptr_t span = Begin(blocks_[window->end - 1]) - window->base;
  while (span >> window->shift >= blocks) ++window->shift;
  uint32_t filled = 0;
  for (uint32_t i = window->first; i < window->end; ++i) {
    while (filled <= (Begin(blocks_[i]) - window->base) >> window->shift) window->slots[filled++] = i;
  }
  window->slots[filled++] = window->end;
  pending_ = window->slots + filled;
}

void BlockGraph::Index() {
  if (count_ == 0) return;
  Sort();
  for (uintptr_t hole = uintptr_t{1} << 26; !FindWindows(hole); hole <<= 2) {
  }
  pending_ = reinterpret_cast<uint32_t*>(spare_);
  for (int i = 0; i < window_count_; ++i) {
    windows_[i].slots = pending_;
    FillWindow(&windows_[i]);
  }
  all_ = {Begin(blocks_[0]), End(blocks_[count_ - 1])};
}

uint32_t BlockGraph::CountUpTo(uintptr_t address) const {
  int i = window_count_ - 1;
  while (i >= 0 && windows_[i].base > address) --i;
  if (i < 0) return 0;
  const Window& window = windows_[i];
  const uintptr_t step = (address - window.base) >> window.shift;
  if (step > (Begin(blocks_[window.end - 1]) - window.base) >> window.shift) return window.end;
  uint32_t low = window.slots[step];
  uint32_t high = window.slots[step + 1];
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (Begin(blocks_[middle]) <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void BlockGraph::Reach(uintptr_t word) {
  if (!all_.Contains(word)) return;
  const uint32_t after = CountUpTo(word);
  if (after == 0) return;
  Block* block = &blocks_[after - 1];
  if (word >= End(*block) || (block->key & kReached) != 0) return;
  if (chunk_ends_.Contains(word)) {
    const GlibcChunk chunk(Begin(*block));
    if (word == chunk.begin + chunk.bytes()) return;
  }
  block->key |= kReached;
  pending_[pending_count_++] = after - 1;
}

[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] void BlockGraph::Scan(MemoryRange range) {
  for (uintptr_t at = (range.begin + kWord - 1) & ~(kWord - 1); at + kWord <= range.end; at += kWord) {
    Reach(LoadUnaligned<uintptr_t>(at));
  }
}

void BlockGraph::ScanBetweenBlocks(MemoryRange range) {
  uint32_t next = CountUpTo(range.begin);
  uintptr_t at = range.begin;
  if (next > 0 && End(blocks_[next - 1]) > at) at = End(blocks_[next - 1]);
  for (; next < count_ && Begin(blocks_[next]) < range.end; ++next) {
    Scan({at, Begin(blocks_[next])});
    if (End(blocks_[next]) > at) at = End(blocks_[next]);
  }
  Scan({at, range.end});
}

bool BlockGraph::NextReached(MemoryRange* content) {
  if (pending_count_ == 0) return false;
  const Block& block = blocks_[pending_[--pending_count_]];
  *content = {Begin(block), End(block)};
  return true;
}

bool BlockGraph::IsLost(const format::LiveBucket& bucket, int slot) const {
  const uint64_t address = KeyAddress(bucket.keys[slot]);
  const uint32_t after = address == 0 ? 0 : CountUpTo(address);
  if (after == 0) return false;
  const Block& block = blocks_[after - 1];
  return Begin(block) == address && (block.key & kReached) == 0 && block.birth == bucket.births[slot] &&
         block.size == bucket.sizes[slot] && block.key >> 54 == bucket.keys[slot] >> 54;
}

bool BlockGraph::LooksLikeGlibc(MemoryRange range, bool main_heap) const {
  constexpr uintptr_t kMostExtra = 64;  // header, alignment, and a rest too small to be a chunk
  for (uint32_t i = CountUpTo(range.begin); i < count_ && Begin(blocks_[i]) < range.end; ++i) {
    const uintptr_t block = Begin(blocks_[i]);
    if (block % 16 != 0 || block - range.begin < 2 * kWord) return false;
    const GlibcChunk chunk(block);
    const uintptr_t size = format::KeySize(blocks_[i].key, blocks_[i].size);
    const bool in_main = (chunk.word & GlibcChunk::kOtherArena) == 0;
    if (in_main != main_heap || (chunk.word & GlibcChunk::kMapped) != 0 || chunk.bytes() % 16 != 0 ||
        chunk.bytes() < size + kWord || chunk.bytes() - size > kMostExtra) {
      return false;
    }
  }
  return true;
}

}  // namespace memtrace::core
