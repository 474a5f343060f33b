#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "libmemtrace/format/weight.h"
#include "tools/analysis/work_clock.h"
#include "tools/common/numbers.h"
#include "tools/render/flame_tree.h"
#include "tools/render/html.h"
#include "tools/render/json_members.h"
#include "tools/render/page.h"
#include "tools/render/suspect_text.h"
#include "tools/render/target.h"
#include "tools/symbols/readable_name.h"

namespace memtrace::tools {
namespace {

constexpr size_t kLongestText = 600;  // of a sentence, a path, a command
constexpr size_t kLongestName = 240;  // of a frame
constexpr size_t kMostFrames = 160;   // of a suspect's stack
constexpr size_t kMostPoints = 60;    // of a suspect's time line

std::string Short(const std::string& text) { return Shortened(text, kLongestText); }

Json Texts(const std::vector<std::string>& texts, size_t most) {
  Json list = Json::array();
  for (size_t i = 0; i < std::min(texts.size(), most); ++i) list.push_back(Short(texts[i]));
  if (texts.size() > most) list.push_back(std::to_string(texts.size() - most) + " more, see --json");
  return list;
}

// Every text inside is cut to kLongestText.
Json Bounded(Json value) {
  if (value.is_string()) return Short(value.get<std::string>());
  if (value.is_structured()) {
    for (auto& item : value) item = Bounded(std::move(item));
  }
  return value;
}

Json CommandJson(const Target& target) {
  std::string text;
  for (const std::string& argument : target.command) {
    text += (text.empty() ? "" : " ") + argument;
    if (text.size() > kLongestText) break;
  }
  return OrNull(Short(text));
}

// --- The time line ---

double EndOf(const Report& report) { return static_cast<double>(Excess(report.end_ns, report.started_ns)) / 1e9; }

// At most `most` points: of each stretch the one where most was in use, and the last of all.
std::vector<TimelineEntry> Thinned(const std::vector<TimelineEntry>& points, size_t most) {
  if (points.size() <= most) return points;
  const auto height = [](const TimelineEntry& point) {
    return std::max(point.usage_bytes.value_or(0), point.live_bytes.value_or(0));
  };
  std::vector<TimelineEntry> thinned;
  const size_t stretches = std::max<size_t>(most, 2) - 1;
  for (size_t i = 0; i < stretches; ++i) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(i * points.size() / stretches);
    const auto end = points.begin() + static_cast<std::ptrdiff_t>((i + 1) * points.size() / stretches);
    thinned.push_back(*std::max_element(
        begin, end, [&](const TimelineEntry& a, const TimelineEntry& b) { return height(a) < height(b); }));
  }
  thinned.push_back(points.back());
  return thinned;
}

Json TimelinePoints(const Report& report, size_t most) {
  Json t = Json::array();
  Json usage = Json::array();
  Json live = Json::array();
  for (const TimelineEntry& point : Thinned(report.timeline, most)) {
    t.push_back(SecondsJson(point.t));
    usage.push_back(OrNull(point.usage_bytes));
    live.push_back(OrNull(point.live_bytes));
  }
  Json marks = Json::array();
  for (size_t i = 0; i < std::min(report.snapshots.size(), most); ++i) {
    const StateMark& mark = report.snapshots[i];
    marks.push_back({{"t", SecondsJson(mark.t)}, {"trigger", mark.trigger}, {"percent", OrNull(mark.percent)}});
  }
  return {{"t", std::move(t)},
          {"usage", std::move(usage)},
          {"live", std::move(live)},
          {"marks", std::move(marks)},
          {"end", SecondsJson(EndOf(report))}};
}

// --- Suspects ---

struct Birth {
  uint64_t work_bytes;
  uint64_t bytes;
};

std::vector<Birth> BirthsOf(const Report& report, const Suspect& suspect) {
  std::vector<bool> mine(report.table.sites.size());
  for (const uint32_t site : suspect.sites) mine[site] = true;
  std::vector<Birth> births;
  for (const LiveBlock& block : report.profile->live) {
    const uint32_t site = report.table.site_of_node[block.node];
    if (site == kNoSite || !mine[site]) continue;
    births.push_back({block.birth, format::WeightOf(block.size, block.rate_bytes).bytes});
  }
  std::sort(births.begin(), births.end(), [](const Birth& a, const Birth& b) { return a.work_bytes < b.work_bytes; });
  return births;
}

// What lives now, added up in the order of its births: [seconds, bytes] pairs, equally far apart in blocks.
Json AccumulationJson(const Report& report, const WorkClock& clock, const std::vector<Birth>& births) {
  Json points = Json::array();
  uint64_t sum = 0;
  const double end = EndOf(report);
  const size_t step = births.size() / kMostPoints + 1;
  for (size_t i = 0; i < births.size(); ++i) {
    sum = SaturatingAdd(sum, births[i].bytes);
    if (i % step != 0 && i + 1 != births.size()) continue;
    points.push_back({SecondsJson(end - clock.SecondsAgo(births[i].work_bytes)), sum});
  }
  return points;
}

// [seconds, bytes] of the suspect in older snapshots.
Json OlderJson(const Report& report, const Suspect& suspect) {
  Json points = Json::array();
  for (const TrendPoint& point : suspect.older)
    points.push_back({SecondsJson(point.time_s - static_cast<double>(report.started_ns) / 1e9), point.live_bytes});
  return points;
}

// Per octave of age [youngest age in bytes of work, the same in seconds, bytes alive, bytes that died], without empty
// ones at both ends.
Json AgesJson(const SiteHistory& history, const WorkClock& clock, uint64_t now) {
  int first = format::kOctaves;
  int last = -1;
  for (int i = 0; i < format::kOctaves; ++i) {
    if (history.alive[i] <= 0 && history.died[i] <= 0) continue;
    first = std::min(first, i);
    last = i;
  }
  Json ages = Json::array();
  for (int i = first; i <= last; ++i) {
    const uint64_t age = i == 0 ? 0 : uint64_t{1} << (format::kAgeOctaveShift - 1 + i);
    ages.push_back({age, SecondsJson(clock.SecondsAgo(Excess(now, age))), RoundToUint(history.alive[i]),
                    RoundToUint(history.died[i])});
  }
  return ages;
}

Json StackJson(const Report& report, uint32_t node) {
  Json frames = Json::array();
  const std::vector<uint32_t> stack = report.frames->Stack(node);
  const size_t helpers = LeadingHelpers(*report.frames, stack);
  for (size_t i = 0; i < std::min(stack.size(), kMostFrames); ++i) {
    const Frame& frame = report.frames->frame(stack[i]);
    const std::string& function = frame.source.function;
    Json json = {
        {"f", Shortened(function.empty() ? FrameName(frame) : NameWithin(function, kLongestName), kLongestName)}};
    if (!frame.source.file.empty()) json["p"] = Short(frame.source.file) + ":" + std::to_string(frame.source.line);
    if (frame.module != nullptr) json["m"] = Short(frame.module->path);
    if (frame.source.inlined) json["i"] = true;
    if (i < helpers) json["h"] = true;
    frames.push_back(std::move(json));
  }
  if (stack.size() > kMostFrames)
    frames.push_back({{"f", std::to_string(stack.size() - kMostFrames) + " more frames"}});
  return frames;
}

Json SuspectsJson(const Report& report, const FlameTree& tree, size_t most) {
  const size_t count = std::min(report.suspects.size(), most);
  SiteGroups groups(report.table.sites.size(), kNoGroup);
  for (uint32_t i = 0; i < count; ++i) {
    for (const uint32_t site : report.suspects[i].sites) groups[site] = i;
  }
  const std::vector<SiteHistory> histories = BuildHistories(*report.profile, report.table, groups, count);
  const WorkClock clock(*report.profile, report.end_ns);
  Json list = Json::array();
  for (size_t i = 0; i < count; ++i) {
    const Suspect& suspect = report.suspects[i];
    const uint32_t node = report.table.sites[suspect.site].node;
    Json json = Bounded(SuspectJson(report, i));
    json["name"] = Short(PlaceOf(suspect, report.table, report.frames.get()));
    json["words"] = Words(BehaviourOf(suspect.kind));
    json["paragraph"] = Shortened(SuspectParagraph(report, suspect), 2000);
    json["blocks"] = suspect.live_allocations;
    json["node"] = tree.leaves[suspect.site];
    const std::vector<Birth> births = BirthsOf(report, suspect);
    json["grown"] = AccumulationJson(report, clock, births);
    json["older"] = OlderJson(report, suspect);
    json["ages"] = AgesJson(histories[i], clock, report.profile->work_bytes);
    json["stack"] = StackJson(report, node);
    list.push_back(std::move(json));
  }
  return list;
}

// --- The flame graph and the table of sites ---

FlameTree BuildTree(const Report& report, size_t most_nodes) {
  FlameTreeBuilder builder;
  const Baseline* baseline = report.baseline ? &*report.baseline : nullptr;
  for (size_t i = 0; i < report.table.sites.size(); ++i) {
    const Site& site = report.table.sites[i];
    const uint64_t before = baseline != nullptr ? baseline->sites[i].before.bytes : 0;
    builder.Add(report.frames.get(), site.node,
                {site.live_bytes, site.allocated_bytes, site.peak_bytes, site.temporary_allocations, site.growth_bytes,
                 site.lost_bytes, before});
  }
  for (const uint32_t gone : baseline != nullptr ? baseline->gone : std::vector<uint32_t>()) {
    const Site& site = baseline->table.sites[gone];
    builder.Add(baseline->frames.get(), site.node, {0, 0, 0, 0, 0, 0, site.live_bytes});
  }
  return builder.Fold(most_nodes);
}

Json TreeJson(const FlameTree& tree) {
  Json frames = Json::array();
  for (const FlameFrame& frame : tree.frames) frames.push_back({frame.name, frame.place, frame.module});
  Json parents = Json::array();
  Json names = Json::array();
  std::array<Json, kFlameWeights> weights;
  for (Json& weight : weights) weight = Json::array();
  for (const FlameNode& node : tree.nodes) {
    parents.push_back(node.parent);
    names.push_back(node.frame);
    for (size_t i = 0; i < kFlameWeights; ++i) weights[i].push_back(node.self[i]);
  }
  return {
      {"frames", std::move(frames)}, {"parent", std::move(parents)}, {"frame", std::move(names)}, {"self", weights}};
}

// The `most` sites with the largest share of anything, in the order of the table.
std::vector<uint32_t> ChooseSites(const std::vector<Site>& sites, size_t most) {
  std::array<double, std::size(kMetricNames)> totals{};
  for (const Site& site : sites) {
    for (const MetricName& known : kMetricNames)
      totals[static_cast<size_t>(known.metric)] += static_cast<double>(WeightOf(site, known.metric));
  }
  std::vector<std::pair<double, uint32_t>> order;
  for (uint32_t i = 0; i < sites.size(); ++i) {
    double share = 0;
    for (const MetricName& known : kMetricNames) {
      const double total = totals[static_cast<size_t>(known.metric)];
      if (total > 0) share = std::max(share, static_cast<double>(WeightOf(sites[i], known.metric)) / total);
    }
    order.emplace_back(-share, i);
  }
  const size_t count = std::min(most, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end());
  std::vector<uint32_t> chosen;
  for (size_t i = 0; i < count; ++i) chosen.push_back(order[i].second);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

// Rows of numbers, see `columns` in sites.js.
Json SitesJson(const Report& report, const FlameTree& tree, size_t most) {
  const auto known = [](bool is, uint64_t value) { return is ? Json(value) : Json(); };
  const Profile& profile = *report.profile;
  Json rows = Json::array();
  for (const uint32_t i : ChooseSites(report.table.sites, most)) {
    const Site& site = report.table.sites[i];
    const std::vector<uint32_t> stack = report.frames->Stack(site.node);
    const Frame* frame = NamingFrame(*report.frames, stack);
    Json row = {frame == nullptr ? "(unknown stack)" : Shortened(FrameText(*frame), kLongestName),
                tree.leaves[i],
                site.live_bytes,
                site.live_bytes_ci95.low,
                site.live_bytes_ci95.high,
                site.live_allocations,
                known(profile.looked(), site.lost_bytes),
                known(profile.has_sums, site.allocated_bytes),
                known(profile.has_sums, site.allocations),
                known(profile.has_history, site.peak_bytes),
                known(profile.has_history, site.temporary_allocations),
                known(site.behaviour != Behaviour::kUnknown, site.growth_bytes),
                Words(site.behaviour)};
    if (report.baseline) {
      const SiteDifference& difference = report.baseline->sites[i];
      for (const uint64_t bytes :
           {difference.before.bytes, difference.fresh.bytes, difference.freed.bytes, difference.survived.bytes})
        row.push_back(bytes);
    }
    rows.push_back(std::move(row));
  }
  return {{"rows", std::move(rows)}, {"all", report.table.sites.size()}};
}

Json BaselineMember(const Report& report) {
  if (!report.baseline) return nullptr;
  return Bounded(BaselineJson(report));
}

Json OthersJson(std::span<const Report> others, size_t most) {
  Json list = Json::array();
  for (const Report& report : others.first(std::min(others.size(), most))) {
    list.push_back({{"exe", OrNull(Short(DescribeTarget(report).exe))},
                    {"pid", report.profile->header.pid},
                    {"live", report.profile->totals.live_bytes},
                    {"cause", report.verdict.cause}});
  }
  return list;
}

Json BoundedVerdict(const Verdict& verdict, size_t lines) {
  Json json = Bounded(VerdictJson(verdict));
  json["evidence"] = Texts(verdict.evidence, lines);
  json["advice"] = Texts(verdict.advice, lines);
  return json;
}

}  // namespace

std::string HtmlData(std::span<const Report> reports, Metric metric, const HtmlLimits& limits) {
  const Report& report = reports[0];
  ResolveStacks(report.table, report.frames.get());
  const Target target = DescribeTarget(report);
  const FlameTree tree = BuildTree(report, limits.nodes);
  Json target_json = Bounded(TargetJson(report));
  target_json["command"] = CommandJson(target);
  Json oom = Bounded(OomJson(report));
  for (const char* detail : {"tasks", "memcg_stats", "reports_without_kill", "reaped_pids"}) oom.erase(detail);
  if (oom["kills"].size() > limits.lines)
    oom["kills"].erase(oom["kills"].begin() + static_cast<int>(limits.lines), oom["kills"].end());
  const Json data = {{"metric", Name(metric)},
                     {"recorded", report.recorded},
                     {"file", Short(report.profile->file_name)},
                     {"target", std::move(target_json)},
                     {"recording", Bounded(RecordingJson(report))},
                     {"sampling", SamplingText(*report.profile)},
                     {"totals", TotalsJson(report)},
                     {"verdict", BoundedVerdict(report.verdict, limits.lines)},
                     {"memory", MemoryJson(report)},
                     {"cgroup", Bounded(CgroupJson(report.cgroup))},
                     {"oom", std::move(oom)},
                     {"timeline", TimelinePoints(report, limits.points)},
                     {"suspects", SuspectsJson(report, tree, limits.suspects)},
                     {"suspects_in_all", report.suspects.size()},
                     {"suppressed", report.suppressed},
                     {"tree", TreeJson(tree)},
                     {"sites", SitesJson(report, tree, limits.sites)},
                     {"baseline", BaselineMember(report)},
                     {"blind_spots", Texts(report.blind_spots, limits.lines)},
                     {"losses", Bounded(LossesJson(report.profile->losses))},
                     {"others", OthersJson(reports.subspan(1), limits.lines)},
                     {"others_in_all", reports.size() - 1}};
  return Dump(data);
}

}  // namespace memtrace::tools
