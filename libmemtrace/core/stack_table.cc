#include "libmemtrace/core/stack_table.h"

#include "libmemtrace/rt/random.h"

namespace memtrace::core {
namespace {

constexpr uint32_t kInitialSlots = 8192;
constexpr uint32_t kProbes = 16;

uint32_t Hash(uint32_t parent, uint64_t pc_module) {
  return static_cast<uint32_t>(rt::Mix(pc_module * 0x9e3779b97f4a7c15 + parent));
}

}  // namespace

StackTable::Index* StackTable::NewIndex(uint32_t slots) {
  auto* index = static_cast<Index*>(rt::MapAnonymous(sizeof(Index) + uint64_t{slots} * sizeof(uint32_t)));
  if (index != nullptr) index->mask = slots - 1;
  return index;
}

bool StackTable::Open(Recording* recording) {
  recording_ = recording;
  Index* index = NewIndex(kInitialSlots);
  if (index == nullptr || recording->AddChunk(format::ChunkKind::kNode) < 0) return false;
  private_bytes_.store(kInitialSlots * sizeof(uint32_t), std::memory_order_relaxed);
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

uint32_t StackTable::Append(uint32_t parent, uint64_t pc_module, uint16_t flags) {
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
  fresh->parent = parent;
  fresh->depth = static_cast<uint16_t>(parent == 0 ? 1 : NodeAt(parent)->depth + 1);
  fresh->flags = flags;
  Store(fresh->pc_module, pc_module, std::memory_order_release);  // a reader takes a zero pc for "not filled yet"
  return node;
}

void StackTable::GrowIndex() {
  if (!grow_lock_.TryAcquire()) return;
  Index* old = index_.load(std::memory_order_acquire);
  const uint32_t slots = (old->mask + 1) * 2;
  if (used_.load(std::memory_order_relaxed) > old->mask / 2) {
    if (Index* index = NewIndex(slots)) {
      for (uint32_t i = 0; i <= old->mask; ++i) {
        const uint32_t node = Load(old->slots()[i], std::memory_order_acquire);
        if (node == 0) continue;
        const uint32_t hash = Hash(NodeAt(node)->parent, NodeAt(node)->pc_module);
        for (uint32_t probe = 0; probe < kProbes; ++probe) {
          uint32_t& slot = index->slots()[(hash + probe) & index->mask];
          if (slot != 0) continue;
          slot = node;
          break;
        }
      }
      // The old index stays mapped: others may be looking into it. All of them together are as large as the last.
      index_.store(index, std::memory_order_release);
      private_bytes_.fetch_add(uint64_t{slots} * sizeof(uint32_t), std::memory_order_relaxed);
    }
  }
  grow_lock_.Release();
}

uint32_t StackTable::Intern(uint32_t parent, uint64_t pc, uint16_t module, uint16_t flags) {
  const uint64_t pc_module = (pc & 0xffffffffffff) | uint64_t{module} << 48;
  const uint32_t hash = Hash(parent, pc_module);
  Index* index = index_.load(std::memory_order_acquire);
  uint32_t* free_slot = nullptr;
  for (uint32_t probe = 0; probe < kProbes; ++probe) {
    uint32_t& slot = index->slots()[(hash + probe) & index->mask];
    const uint32_t node = Load(slot, std::memory_order_acquire);
    if (node == 0) {
      free_slot = &slot;
      break;
    }
    const format::Node* known = NodeAt(node);
    if (known->pc_module == pc_module && known->parent == parent && known->flags == flags) return node;
  }
  const uint32_t node = Append(parent, pc_module, flags);
  if (node == 0) {
    recording_->CountDrop(format::Drop::kNodeTableFull);
    return 0;
  }
  if (free_slot != nullptr) {
    uint32_t expected = 0;
    Atomic(*free_slot).compare_exchange_strong(expected, node, std::memory_order_release, std::memory_order_relaxed);
  } else {  // a full neighbourhood: overwrite, the loser is found no more and gets a new node when it comes again
    Store(index->slots()[hash & index->mask], node, std::memory_order_release);
  }
  if (used_.fetch_add(1, std::memory_order_relaxed) > index->mask / 2) GrowIndex();
  return node;
}

}  // namespace memtrace::core
