#include "tools/render/json.h"

#include <unordered_map>

#include "tools/render/json_members.h"

namespace memtrace::tools {
namespace {

// Stacks as JSON text. Frames repeat from stack to stack, so each is formatted once.
class StackWriter {
 public:
  explicit StackWriter(FrameTable* frames) : frames_(*frames) {}

  std::string Text(uint32_t node) {
    std::string text = "[";
    for (const uint32_t index : frames_.Stack(node)) {
      std::string& frame = texts_[index];
      if (frame.empty()) frame = Dump(FrameJson(frames_.frame(index)));
      if (text.size() > 1) text += ',';
      text += frame;
    }
    return text + "]";
  }

 private:
  FrameTable& frames_;
  std::unordered_map<uint32_t, std::string> texts_;
};

// An object with a stack spliced in as its last member.
void WriteWithStack(const Json& object, const std::string& stack, std::ostream* out) {
  std::string text = Dump(object);
  text.pop_back();
  *out << text << ",\"stack\":" << stack << '}';
}

void WriteSites(const Report& report, StackWriter* stacks, std::ostream* out) {
  *out << "\"sites\":[";
  for (size_t i = 0; i < report.table.sites.size(); ++i) {
    const Site& site = report.table.sites[i];
    if (i > 0) *out << ",\n";
    WriteWithStack({{"id", SiteId(site)},
                    {"allocations", site.allocations},
                    {"allocated_bytes", site.allocated_bytes},
                    {"live_allocations", site.live_allocations},
                    {"live_bytes", site.live_bytes},
                    {"live_bytes_ci95", {site.live_bytes_ci95.low, site.live_bytes_ci95.high}},
                    {"peak_bytes", site.peak_bytes},
                    {"temporary_allocations", site.temporary_allocations}},
                   stacks->Text(site.node), out);
  }
  *out << "],\n";
}

void WriteSuspects(const Report& report, StackWriter* stacks, std::ostream* out) {
  *out << "\"suspects\":[";
  for (size_t i = 0; i < report.suspects.size(); ++i) {
    if (i > 0) *out << ",\n";
    const Site& site = report.table.sites[report.suspects[i].site];
    WriteWithStack(SuspectJson(report, i), stacks->Text(site.node), out);
  }
  *out << "],\n";
}

// All members of a report but "schema" and "others", without the braces.
void WriteMembers(const Report& report, std::ostream* out) {
  StackWriter stacks(report.frames.get());
  const auto member = [out](const char* key, const Json& value) {
    *out << '"' << key << "\":" << Dump(value) << ",\n";
  };
  member("target", TargetJson(report));
  member("recording", RecordingJson(report));
  member("totals", TotalsJson(report.profile->totals));
  WriteSites(report, &stacks, out);
  WriteSuspects(report, &stacks, out);
  member("memory", MemoryJson(report));
  Json cgroup = CgroupJson(report.cgroup);
  cgroup["timeline"] = TimelineJson(report);
  member("cgroup", cgroup);
  member("oom", OomJson(report));
  member("verdict", VerdictJson(report.verdict));
  member("blind_spots", report.blind_spots);
  *out << "\"losses\":" << Dump(LossesJson(report.profile->losses));
}

}  // namespace

void WriteJson(std::span<const Report> reports, std::span<const std::string> warnings, std::ostream* out) {
  *out << "{\"schema\":\"memtrace.report/1\",\n";
  WriteMembers(reports[0], out);
  *out << ",\n\"warnings\":" << Dump(Json(std::vector<std::string>(warnings.begin(), warnings.end())))
       << ",\n\"others\":[";
  for (size_t i = 1; i < reports.size(); ++i) {
    *out << (i > 1 ? ",\n{" : "{");
    WriteMembers(reports[i], out);
    *out << '}';
  }
  *out << "]}\n";
}

}  // namespace memtrace::tools
