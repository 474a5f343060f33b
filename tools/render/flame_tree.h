// The call tree of a report, by names, in the few thousand nodes that a picture can show.
#ifndef MEMTRACE_TOOLS_RENDER_FLAME_TREE_H_
#define MEMTRACE_TOOLS_RENDER_FLAME_TREE_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tools/symbols/frames.h"

namespace memtrace::tools {

// What a node can weigh. `kBefore`: live in the baseline. `kGrowth`: bytes that will never be freed, see
// Survival::score.
enum FlameWeight : size_t {
  kLiveWeight,
  kAllocatedWeight,
  kPeakWeight,
  kTemporaryWeight,
  kGrowthWeight,
  kLostWeight,
  kBeforeWeight
};
inline constexpr size_t kFlameWeights = 7;
using FlameWeights = std::array<uint64_t, kFlameWeights>;

struct FlameFrame {
  std::string name;
  std::string place;   // file:line; only the file where it was called from several lines; empty if unknown
  std::string module;  // base name, empty if unknown
};

struct FlameNode {
  uint32_t parent = 0;  // less than the own index; the root is its own
  uint32_t frame = 0;
  FlameWeights self{};
};

struct FlameTree {
  static constexpr uint32_t kAllFrame = 0;      // of the root
  static constexpr uint32_t kFoldedFrame = 1;   // stands for several small children of its parent
  static constexpr uint32_t kUnknownFrame = 2;  // a stack that is not known
  std::vector<FlameFrame> frames;
  std::vector<FlameNode> nodes;  // 0 is the root
  std::vector<uint32_t> leaves;  // node of each stack, in the order of Add
};

class FlameTreeBuilder {
 public:
  FlameTreeBuilder();

  // The stack of a node, as FrameTable::Stack has it. The places of frames are those of the stack that comes first.
  void Add(FrameTable* table, uint32_t node, const FlameWeights& weights);
  // The `most_nodes` heaviest nodes, as shares of any of the weights; the rest is folded, so that sums stay.
  FlameTree Fold(size_t most_nodes) const;

 private:
  // What is known of one table's frames and nodes; 0: not yet.
  struct Known {
    std::vector<uint32_t> frames;
    std::vector<uint32_t> nodes;  // the stack up to there, with all frames of the node
  };
  uint32_t FrameOf(const FrameTable& table, uint32_t index, Known* known);
  uint32_t NodeOf(FrameTable* table, uint32_t node, Known* known);
  uint32_t Child(uint32_t parent, uint32_t frame);

  FlameTree tree_;
  std::unordered_map<std::string, uint32_t> frame_of_name_;  // name and module
  std::unordered_map<uint64_t, uint32_t> children_;          // by parent and frame
  std::vector<uint32_t> depths_;                             // by node of the tree
  std::unordered_map<const FrameTable*, Known> known_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_RENDER_FLAME_TREE_H_
