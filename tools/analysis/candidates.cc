#include "tools/analysis/candidates.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

constexpr double kKept = 0.7;  // of the growing bytes, by those children that are followed

class Gatherer {
 public:
  explicit Gatherer(const SiteTable& table) : table_(table) { result_.groups.assign(table.sites.size(), kNoGroup); }

  // Index of the candidate of that hash.
  uint32_t Find(uint64_t hash) {
    const auto [found, added] = known_.try_emplace(hash, static_cast<uint32_t>(result_.list.size()));
    if (added) result_.list.push_back({.name_hash = hash, .sites = {}, .parts = {}});
    return found->second;
  }
  void AddSite(uint32_t candidate, uint32_t site) {
    Candidate& to = result_.list[candidate];
    result_.groups[site] = candidate;
    to.sites.push_back(site);
    to.live_bytes = SaturatingAdd(to.live_bytes, table_.sites[site].live_bytes);
    to.live_allocations = SaturatingAdd(to.live_allocations, table_.sites[site].live_allocations);
  }
  void AddPart(uint32_t candidate, uint32_t part, const Candidate& place) {
    result_.list[candidate].parts.push_back(part);
    for (const uint32_t site : place.sites) AddSite(candidate, site);
  }
  Candidate& at(uint32_t candidate) { return result_.list[candidate]; }
  Candidates Take() {
    for (Candidate& candidate : result_.list) std::sort(candidate.sites.begin(), candidate.sites.end());
    return std::move(result_);
  }

 private:
  const SiteTable& table_;
  std::unordered_map<uint64_t, uint32_t> known_;
  Candidates result_;
};

// As the names have it, and the lines; where no line is known the offset says which one it is.
uint64_t HashPlaces(const FrameTable& frames, std::span<const uint32_t> stack, uint64_t names) {
  StableHash hash(names);
  for (const uint32_t index : stack) {
    const Frame& frame = frames.frame(index);
    hash.Add(frame.source.line > 0 ? static_cast<uint64_t>(frame.source.line) : frame.offset);
  }
  return hash.value();
}

// The call tree of some places, by the names of functions, from the outermost inwards.
class GrowthTree {
 public:
  struct Point {
    std::vector<uint32_t> parts;
    uint32_t depth;  // frames from the outermost to this one
  };

  GrowthTree() { nodes_.emplace_back(); }

  void Add(uint32_t part, double growth, std::span<const uint64_t> names_inwards) {
    uint32_t node = 0;
    nodes_[0].growth += growth;
    for (const uint64_t name : names_inwards) {
      const auto [found, added] =
          children_.try_emplace(StableHash(node).Add(name).value(), static_cast<uint32_t>(nodes_.size()));
      if (added) {
        nodes_[node].children.push_back(found->second);
        const uint32_t depth = nodes_[node].depth + 1;
        nodes_.push_back({.depth = depth, .children = {}, .ends = {}});
      }
      node = found->second;
      nodes_[node].growth += growth;
    }
    nodes_[node].ends.push_back(part);
  }

  // See Places::Accumulate.
  std::vector<Point> Points(double threshold) const {
    std::vector<Point> points;
    std::vector<uint32_t> open = {0};
    while (!open.empty()) {
      const uint32_t node = open.back();
      open.pop_back();
      if (nodes_[node].growth < threshold) continue;
      double kept = 0;
      for (const uint32_t child : nodes_[node].children)
        kept += nodes_[child].growth >= threshold ? nodes_[child].growth : 0;
      if (kept >= kKept * nodes_[node].growth) {
        open.insert(open.end(), nodes_[node].children.begin(), nodes_[node].children.end());
      } else if (node != 0) {
        points.push_back({PartsBelow(node), nodes_[node].depth});
      }
    }
    return points;
  }

 private:
  struct Node {
    double growth = 0;
    uint32_t depth = 0;
    std::vector<uint32_t> children;
    std::vector<uint32_t> ends;  // parts whose stack ends here
  };

  std::vector<uint32_t> PartsBelow(uint32_t top) const {
    std::vector<uint32_t> parts;
    std::vector<uint32_t> open = {top};
    while (!open.empty()) {
      const Node& node = nodes_[open.back()];
      open.pop_back();
      parts.insert(parts.end(), node.ends.begin(), node.ends.end());
      open.insert(open.end(), node.children.begin(), node.children.end());
    }
    std::sort(parts.begin(), parts.end());
    return parts;
  }

  std::vector<Node> nodes_;
  std::unordered_map<uint64_t, uint32_t> children_;  // by parent and name
};

}  // namespace

Places::Places(const SiteTable& table, FrameTable* frames, double smallest_bytes) : table_(table), frames_(frames) {
  Gatherer gatherer(table);
  for (uint32_t i = 0; i < table.sites.size(); ++i) {
    const Site& site = table.sites[i];
    if (static_cast<double>(site.live_bytes) < smallest_bytes) break;  // sorted by live bytes
    std::vector<uint32_t> stack = frames->Stack(site.node);
    const uint64_t names = HashNames(*frames, stack);
    const uint32_t place = gatherer.Find(HashPlaces(*frames, stack, names));
    gatherer.AddSite(place, i);
    if (place < places_.size()) continue;
    const auto named = static_cast<uint32_t>(LeadingHelpers(*frames, stack));
    gatherer.at(place).name_hash = names;
    gatherer.at(place).parts = {place};
    gatherer.at(place).point = named;
    const uint64_t path = HashNames(*frames, std::span(stack).subspan(named));
    places_.push_back({.stack = std::move(stack), .named = named, .path_hash = path});
  }
  all_ = gatherer.Take();
}

uint64_t Places::HashOf(Grouping grouping, const Place& place) const {
  if (grouping == Grouping::kPath || place.stack.empty()) return place.path_hash;
  return HashNames(*frames_, std::span(place.stack).subspan(place.named, 1));
}

Candidates Places::Gather(Grouping grouping, std::span<const uint32_t> wanted) const {
  Gatherer gatherer(table_);
  for (const uint32_t part : wanted) {
    const uint32_t candidate = gatherer.Find(HashOf(grouping, places_[part]));
    gatherer.AddPart(candidate, part, all_.list[part]);
  }
  Candidates gathered = gatherer.Take();
  // The place of the largest site.
  for (Candidate& candidate : gathered.list) candidate.point = places_[all_.groups[candidate.sites.front()]].named;
  return gathered;
}

Candidates Places::Accumulate(std::span<const uint32_t> wanted, std::span<const double> growth,
                              double threshold) const {
  GrowthTree tree;
  std::unordered_map<uint32_t, uint64_t> names;  // by frame
  std::vector<uint64_t> inwards;
  for (const uint32_t part : wanted) {
    const Place& place = places_[part];
    inwards.clear();
    for (size_t i = place.stack.size(); i-- > place.named;) {
      const auto [found, added] = names.try_emplace(place.stack[i]);
      if (added) found->second = HashNames(*frames_, std::span(place.stack).subspan(i, 1));
      inwards.push_back(found->second);
    }
    tree.Add(part, growth[part], inwards);
  }
  Gatherer gatherer(table_);
  for (const GrowthTree::Point& point : tree.Points(threshold)) {
    const std::vector<uint32_t>& stack = places_[point.parts.front()].stack;
    const uint32_t candidate = gatherer.Find(HashNames(*frames_, std::span(stack).last(point.depth)));
    for (const uint32_t part : point.parts) gatherer.AddPart(candidate, part, all_.list[part]);
    // Places are in the order of their largest sites, so the first part has the largest of all.
    gatherer.at(candidate).point = static_cast<uint32_t>(stack.size()) - point.depth;
  }
  return gatherer.Take();
}

size_t Places::CountPaths(std::span<const uint32_t> places) const {
  std::vector<uint64_t> paths;
  for (const uint32_t place : places) paths.push_back(places_[place].path_hash);
  std::sort(paths.begin(), paths.end());
  return static_cast<size_t>(std::unique(paths.begin(), paths.end()) - paths.begin());
}

}  // namespace memtrace::tools
