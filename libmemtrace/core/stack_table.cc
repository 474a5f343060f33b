#include "libmemtrace/core/stack_table.h"

#include <sys/mman.h>

#include "libmemtrace/rt/random.h"
#include "libmemtrace/rt/syscall.h"

namespace memtrace::core {
namespace {

constexpr uint32_t kInitialSlots = 8192;
constexpr uint32_t kProbes = 64;
constexpr uint64_t kHugeBytes = 4 << 20;

}  // namespace

// Where to look at the `probe`-th attempt. First through the line of slots that belongs to the parent and its
// neighbours: most nodes have two children at most, and the nodes of one stack were numbered one after the other, so a
// known stack is found in adjacent lines. The children that find no place there are scattered, line by line: strides
// would stay in a region where all lines are full.
class StackTable::Probes {
 public:
  explicit Probes(const Frame& frame) : frame_(frame) {}
  uint32_t operator[](uint32_t probe) {
    const uint32_t home = frame_.parent * 2;
    if (probe < kSlotsPerLine) return home / kSlotsPerLine * kSlotsPerLine + (home + probe) % kSlotsPerLine;
    if (probe % kSlotsPerLine == 0) hash_ = rt::Mix(hash_ + probe);
    return static_cast<uint32_t>(hash_) * kSlotsPerLine + probe % kSlotsPerLine;
  }

 private:
  Frame frame_;
  uint64_t hash_ = frame_.pc_module * 0x9e3779b97f4a7c15 + frame_.parent;
};

StackTable::Index* StackTable::NewIndex(uint32_t slots) {
  const uint64_t bytes = IndexBytes(slots);
  auto* index = static_cast<Index*>(rt::MapAnonymous(bytes));
  if (index == nullptr) return nullptr;
  // It is read all over, and soon used all over: else most look-ups would also miss the TLB.
  if (bytes >= kHugeBytes) rt::Syscall(__NR_madvise, rt::Address(index), static_cast<long>(bytes), MADV_HUGEPAGE);
  index->mask = slots - 1;
  return index;
}

bool StackTable::Open(Recording* recording) {
  recording_ = recording;
  Index* index = NewIndex(kInitialSlots);
  if (index == nullptr || recording->AddChunk(format::ChunkKind::kNode) < 0) return false;
  private_bytes_.store(IndexBytes(kInitialSlots), std::memory_order_relaxed);
  recording->header().node_count = 1;  // node 0 is the root
  index_.store(index, std::memory_order_release);
  return true;
}

void StackTable::ForgetInChild() {
  // The old index is left behind: a thread of the parent may have been growing it.
  index_.store(nullptr, std::memory_order_relaxed);
  used_.store(0, std::memory_order_relaxed);
  grow_lock_.Reset();
}

void StackTable::Release() {
  Index* index = index_.exchange(nullptr, std::memory_order_relaxed);
  if (index != nullptr) rt::Unmap(index, IndexBytes(index->mask + 1));
  private_bytes_.store(0, std::memory_order_relaxed);
}

uint32_t StackTable::Append(const Frame& frame) {
  // A number is taken only when there is room for its node: it need not be given back, which could hand it out twice.
  uint32_t& node_count = recording_->header().node_count;
  uint32_t node = Load(node_count);
  const auto has_room = [this, &node] {
    return node / format::kNodesPerChunk < recording_->ChunkCount(format::ChunkKind::kNode);
  };
  do {
    while (!has_room()) {
      if (recording_->AddChunk(format::ChunkKind::kNode) < 0 && !has_room()) return 0;
    }
  } while (!Atomic(node_count).compare_exchange_weak(node, node + 1, std::memory_order_relaxed));
  format::Node* fresh = NodeAt(node);
  fresh->parent = frame.parent;
  fresh->depth = static_cast<uint16_t>(frame.parent == 0 ? 1 : NodeAt(frame.parent)->depth + 1);
  fresh->flags = frame.flags;
  Store(fresh->pc_module, frame.pc_module, std::memory_order_release);  // a reader takes a zero pc for "not filled yet"
  return node;
}

void StackTable::GrowIndex(Index* old) {
  if (!grow_lock_.TryAcquire()) return;
  const uint32_t slots = (old->mask + 1) * 2;
  if (index_.load(std::memory_order_acquire) == old) {
    if (Index* index = NewIndex(slots)) {
      for (uint32_t i = 0; i <= old->mask; ++i) {
        const Slot known = Load(old->slots()[i], std::memory_order_acquire);
        if (known == 0) continue;
        const format::Node& node = *NodeAt(static_cast<uint32_t>(known));
        Probes probes({node.pc_module, node.parent, node.flags});
        for (uint32_t probe = 0; probe < kProbes; ++probe) {
          Slot& slot = index->slots()[probes[probe] & index->mask];
          if (slot != 0) continue;
          slot = known;
          break;
        }
      }
      index_.store(index, std::memory_order_release);
      private_bytes_.store(IndexBytes(slots), std::memory_order_relaxed);
      // Others may be looking into the old index: it stays mapped and reads as empty from now on.
      rt::Syscall(__NR_madvise, rt::Address(old), static_cast<long>(IndexBytes(slots / 2)), MADV_DONTNEED);
    }
  }
  grow_lock_.Release();
}

uint32_t StackTable::InternElsewhere(Index* index, const Frame& frame) {
  Probes probes(frame);
  Slot* free_slot = nullptr;
  for (uint32_t probe = 0; probe < kProbes; ++probe) {
    Slot& slot = index->slots()[probes[probe] & index->mask];
    const uint32_t node = Look(slot, frame);
    if (node != 0 && node != kOther) return node;
    if (node != 0) continue;
    free_slot = &slot;
    break;
  }
  return InternNew(index, free_slot, frame);
}

// `free_slot` may be nullptr.
uint32_t StackTable::InternNew(Index* index, Slot* free_slot, const Frame& frame) {
  const uint32_t node = Append(frame);
  if (node == 0) {
    recording_->CountDrop(format::Drop::kNodeTableFull);
    return 0;
  }
  if (node == frame.parent + 1 && HasFollower(frame.parent)) return node;  // found without a slot
  Slot empty = 0;
  // Where a race was lost, or the neighbourhood is full, the frame is not found next time and gets another node.
  if (free_slot != nullptr &&
      Atomic(*free_slot).compare_exchange_strong(empty, SlotOf(node, frame.tag()), std::memory_order_release)) {
    // Where more is used, more look-ups have to leave the parent's line.
    if (used_.fetch_add(1, std::memory_order_relaxed) > index->mask / 4) GrowIndex(index);
  } else if (free_slot == nullptr) {
    GrowIndex(index);
  }
  return node;
}

}  // namespace memtrace::core
