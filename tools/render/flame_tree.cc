#include "tools/render/flame_tree.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/common/numbers.h"
#include "tools/render/page.h"
#include "tools/symbols/readable_name.h"

namespace memtrace::tools {
namespace {

// Longer names are cut in the middle: nobody reads them, and a megabyte of them is a hostile file.
constexpr size_t kLongestName = 240;
constexpr size_t kLongestPlace = 80;
constexpr uint32_t kDeepest = 1024;  // deeper than MEMTRACE_DEPTH goes: only a hostile file has such stacks

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

void AddTo(const FlameWeights& part, FlameWeights* sum) {
  for (size_t i = 0; i < kFlameWeights; ++i) (*sum)[i] = SaturatingAdd((*sum)[i], part[i]);
}

// Per node its largest share of any weight, with all that it calls.
std::vector<double> Importance(const std::vector<FlameNode>& nodes) {
  std::vector<FlameWeights> totals(nodes.size());
  for (size_t i = nodes.size(); i-- > 0;) {
    AddTo(nodes[i].self, &totals[i]);
    if (i > 0) AddTo(totals[i], &totals[nodes[i].parent]);
  }
  std::vector<double> importance(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (size_t weight = 0; weight < kFlameWeights; ++weight) {
      if (totals[0][weight] == 0) continue;
      const double share = static_cast<double>(totals[i][weight]) / static_cast<double>(totals[0][weight]);
      importance[i] = std::max(importance[i], share);
    }
  }
  return importance;
}

// A child weighs no more than its parent and comes behind it, so what is kept hangs together.
std::vector<bool> Keep(const std::vector<FlameNode>& nodes, size_t most_nodes) {
  std::vector<bool> keep(nodes.size(), nodes.size() <= most_nodes);
  if (nodes.size() <= most_nodes) return keep;
  const std::vector<double> importance = Importance(nodes);
  std::vector<uint32_t> order(nodes.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  const size_t kept = std::max<size_t>(most_nodes, 1);
  std::nth_element(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(kept), order.end(),
      [&](uint32_t a, uint32_t b) { return importance[a] != importance[b] ? importance[a] > importance[b] : a < b; });
  for (size_t i = 0; i < kept; ++i) keep[order[i]] = true;
  return keep;
}

}  // namespace

FlameTreeBuilder::FlameTreeBuilder() {
  tree_.frames = {{"all", {}, {}}, {"(smaller ones)", {}, {}}, {"(unknown stack)", {}, {}}};
  tree_.nodes.emplace_back();
  depths_.emplace_back();
}

uint32_t FlameTreeBuilder::FrameOf(const FrameTable& table, uint32_t index, Known* known) {
  if (known->frames.size() < table.size()) known->frames.resize(table.size());
  if (known->frames[index] != 0) return known->frames[index];
  const Frame& frame = table.frame(index);
  const std::string& function = frame.source.function;
  FlameFrame fresh;
  fresh.name = Shortened(function.empty() ? FrameName(frame) : NameWithin(function, kLongestName), kLongestName);
  if (frame.module != nullptr) fresh.module = Shortened(BaseName(frame.module->path), kLongestPlace);
  const std::string file = Shortened(BaseName(frame.source.file), kLongestPlace);
  if (!file.empty()) fresh.place = fmt::format("{}:{}", file, frame.source.line);
  const auto [found, added] =
      frame_of_name_.try_emplace(fresh.name + '\0' + fresh.module, static_cast<uint32_t>(tree_.frames.size()));
  if (added) {
    tree_.frames.push_back(std::move(fresh));
  } else if (tree_.frames[found->second].place != fresh.place) {
    tree_.frames[found->second].place = file;
  }
  return known->frames[index] = found->second;
}

uint32_t FlameTreeBuilder::Child(uint32_t parent, uint32_t frame) {
  if (depths_[parent] == kDeepest) return parent;
  const auto [found, added] =
      children_.try_emplace(uint64_t{parent} << 32 | frame, static_cast<uint32_t>(tree_.nodes.size()));
  if (added) {
    tree_.nodes.push_back({.parent = parent, .frame = frame, .self = {}});
    depths_.push_back(depths_[parent] + 1);
  }
  return found->second;
}

// Most nodes are on many stacks: each is put into the tree once, behind its callers.
uint32_t FlameTreeBuilder::NodeOf(FrameTable* table, uint32_t node, Known* known) {
  std::vector<uint32_t> missing;
  for (; node != 0 && known->nodes[node] == 0; node = table->Caller(node)) missing.push_back(node);
  uint32_t at = known->nodes[node];
  for (; !missing.empty(); missing.pop_back()) {
    const FrameTable::Range frames = table->Frames(missing.back());
    for (uint32_t i = frames.end; i-- > frames.begin;) at = Child(at, FrameOf(*table, i, known));
    known->nodes[missing.back()] = at;
  }
  return at;
}

void FlameTreeBuilder::Add(FrameTable* table, uint32_t node, const FlameWeights& weights) {
  Known& known = known_[table];
  if (known.nodes.empty()) known.nodes.resize(table->nodes());
  // The innermost frames may be the allocator's own.
  FrameTable::Range frames{};
  for (; node != 0; node = table->Caller(node)) {
    frames = table->Frames(node);
    while (frames.begin < frames.end && IsAllocatorEntry(table->frame(frames.begin).source.function)) ++frames.begin;
    if (frames.begin < frames.end) break;
  }
  uint32_t at = 0;
  if (node == 0) {
    at = Child(0, FlameTree::kUnknownFrame);
  } else {
    at = NodeOf(table, table->Caller(node), &known);
    for (uint32_t i = frames.end; i-- > frames.begin;) at = Child(at, FrameOf(*table, i, &known));
  }
  AddTo(weights, &tree_.nodes[at].self);
  tree_.leaves.push_back(at);
}

FlameTree FlameTreeBuilder::Fold(size_t most_nodes) const {
  const std::vector<bool> keep = Keep(tree_.nodes, most_nodes);
  FlameTree folded;
  std::vector<uint32_t> frame_of(tree_.frames.size());
  const auto take_frame = [&](uint32_t frame) {
    if (frame > FlameTree::kUnknownFrame && frame_of[frame] == 0) {
      frame_of[frame] = static_cast<uint32_t>(folded.frames.size());
      folded.frames.push_back(tree_.frames[frame]);
    }
    return frame > FlameTree::kUnknownFrame ? frame_of[frame] : frame;
  };
  folded.frames.assign(tree_.frames.begin(), tree_.frames.begin() + FlameTree::kUnknownFrame + 1);
  std::vector<uint32_t> place(tree_.nodes.size());
  std::unordered_map<uint32_t, uint32_t> rest_of;  // by parent in the result
  for (uint32_t i = 0; i < tree_.nodes.size(); ++i) {
    const FlameNode& node = tree_.nodes[i];
    const uint32_t parent = place[node.parent];
    if (!keep[i] && folded.nodes[parent].frame == FlameTree::kFoldedFrame) {
      place[i] = parent;
    } else if (!keep[i]) {
      const auto [found, added] = rest_of.try_emplace(parent, static_cast<uint32_t>(folded.nodes.size()));
      if (added) folded.nodes.push_back({.parent = parent, .frame = FlameTree::kFoldedFrame, .self = {}});
      place[i] = found->second;
    } else {
      place[i] = static_cast<uint32_t>(folded.nodes.size());
      folded.nodes.push_back({.parent = parent, .frame = take_frame(node.frame), .self = {}});
    }
    AddTo(node.self, &folded.nodes[place[i]].self);
  }
  for (const uint32_t leaf : tree_.leaves) folded.leaves.push_back(place[leaf]);
  return folded;
}

}  // namespace memtrace::tools
