#include "tools/render/json.h"

#include <fmt/format.h>

#include <iterator>
#include <string>
#include <vector>

#include "tools/common/progress.h"
#include "tools/render/evidence_json.h"
#include "tools/render/json_members.h"

namespace memtrace::tools {
namespace {

// Stacks as JSON text. Frames repeat from stack to stack, so each is formatted once.
class StackWriter {
 public:
  explicit StackWriter(FrameTable* frames) : frames_(*frames) {}

  void Append(uint32_t node, std::string* out) {
    *out += '[';
    bool first = true;
    for (const uint32_t index : frames_.Stack(node)) {
      if (index >= texts_.size()) texts_.resize(frames_.size());
      std::string& frame = texts_[index];
      if (frame.empty()) frame = Dump(FrameJson(frames_.frame(index)));
      if (!first) *out += ',';
      *out += frame;
      first = false;
    }
    *out += ']';
  }

 private:
  FrameTable& frames_;
  std::vector<std::string> texts_;  // by frame, empty until it is needed
};

// An object with a stack spliced in as its last member.
void WriteWithStack(const Json& object, uint32_t node, StackWriter* stacks, std::ostream* out) {
  std::string text = Dump(object);
  text.back() = ',';
  text += "\"stack\":";
  stacks->Append(node, &text);
  *out << text << '}';
}

void AppendDifference(const Baseline& baseline, size_t site, std::string* text) {
  *text += "\"baseline\":" + Dump(DifferenceJson(baseline.sites[site], baseline.follows_blocks)) + ',';
}

// There may be hundreds of thousands, of tens of kilobytes each: text is made in place, and not kept.
void WriteSites(const Report& report, StackWriter* stacks, std::ostream* out) {
  constexpr size_t kFlushBytes = size_t{1} << 20;
  const std::vector<Site>& sites = report.table.sites;
  ResolveStacks(report.table, report.frames.get());
  ProgressStage progress("writing sites", sites.size());
  const bool looked = report.profile->looked();
  const auto known = [](bool is, uint64_t value) { return is ? fmt::to_string(value) : "null"; };
  const bool sums = report.profile->has_sums;
  const bool history = report.profile->has_history;
  std::string text = "\"sites\":[";
  for (size_t i = 0; i < sites.size(); ++i) {
    const Site& site = sites[i];
    fmt::format_to(
        std::back_inserter(text),
        "{}{{\"id\":\"{}\",\"allocations\":{},\"allocated_bytes\":{},\"live_allocations\":{},\"live_bytes\":{},"
        "\"live_bytes_ci95\":[{},{}],\"peak_bytes\":{},\"temporary_allocations\":{},"
        "\"behaviour\":\"{}\",\"growth_bytes\":{},\"lost_allocations\":{},\"lost_bytes\":{},",
        i > 0 ? ",\n" : "", SiteId(site), known(sums, site.allocations), known(sums, site.allocated_bytes),
        site.live_allocations, site.live_bytes, site.live_bytes_ci95.low, site.live_bytes_ci95.high,
        known(history, site.peak_bytes), known(history, site.temporary_allocations), Name(site.behaviour),
        known(history && site.behaviour != Behaviour::kUnknown, site.growth_bytes),
        known(looked, site.lost_allocations), known(looked, site.lost_bytes));
    if (report.baseline) AppendDifference(*report.baseline, i, &text);
    text += "\"stack\":";
    stacks->Append(site.node, &text);
    text += '}';
    progress.Advance();
    if (text.size() < kFlushBytes) continue;
    *out << text;
    text.clear();
  }
  *out << text << "],\n";
}

void WriteSuspects(const Report& report, StackWriter* stacks, std::ostream* out) {
  *out << "\"suspects\":[";
  for (size_t i = 0; i < report.suspects.size(); ++i) {
    if (i > 0) *out << ",\n";
    const Site& site = report.table.sites[report.suspects[i].site];
    WriteWithStack(SuspectJson(report, i), site.node, stacks, out);
  }
  *out << "],\n";
}

// "gone": the sites of the baseline that the report does not have any more.
void WriteBaseline(const Report& report, std::ostream* out) {
  const Baseline& baseline = *report.baseline;
  std::string head = Dump(BaselineJson(report));
  head.pop_back();
  *out << "\"baseline\":" << head << ",\"gone\":[";
  StackWriter stacks(baseline.frames.get());
  for (size_t i = 0; i < baseline.gone.size(); ++i) {
    const Site& site = baseline.table.sites[baseline.gone[i]];
    Json object = {{"id", SiteId(site)}};
    object.update(DifferenceJson(baseline.of_gone[i], baseline.follows_blocks));
    if (i > 0) *out << ",\n";
    WriteWithStack(object, site.node, &stacks, out);
  }
  *out << "]},\n";
}

// All members of a report but "schema" and "others", without the braces.
void WriteMembers(const Report& report, std::ostream* out) {
  StackWriter stacks(report.frames.get());
  const auto member = [out](const char* key, const Json& value) {
    *out << '"' << key << "\":" << Dump(value) << ",\n";
  };
  member("target", TargetJson(report));
  member("recording", RecordingJson(report));
  member("totals", TotalsJson(report));
  WriteSites(report, &stacks, out);
  WriteSuspects(report, &stacks, out);
  if (report.baseline) WriteBaseline(report, out);
  member("memory", MemoryJson(report));
  Json cgroup = CgroupJson(report.cgroup);
  cgroup["timeline"] = TimelineJson(report);
  member("cgroup", cgroup);
  member("oom", OomJson(report));
  if (report.evidence != nullptr) member("evidence", EvidenceJson(*report.evidence));
  member("verdict", VerdictJson(report.verdict));
  member("blind_spots", report.blind_spots);
  *out << "\"losses\":" << Dump(LossesJson(report.profile->losses));
}

}  // namespace

void WriteJson(std::span<const Report> reports, const std::vector<std::string>& warnings, std::ostream* out) {
  *out << "{\"schema\":\"memtrace.report/1\",\n";
  WriteMembers(reports[0], out);
  *out << ",\n\"warnings\":" << Dump(Json(warnings)) << ",\n\"others\":[";
  for (size_t i = 1; i < reports.size(); ++i) {
    *out << (i > 1 ? ",\n{" : "{");
    WriteMembers(reports[i], out);
    *out << '}';
  }
  *out << "]}\n";
}

}  // namespace memtrace::tools
