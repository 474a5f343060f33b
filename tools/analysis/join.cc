#include "tools/analysis/join.h"

#include <algorithm>

#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

Bytes Limited(const Number& limit) { return limit && *limit < (uint64_t{1} << 60) ? limit : std::nullopt; }

// Of rows that all speak of the same container; else nobody knows which one is meant.
const Sample* LastOfOneContainer(const Evidence& evidence) {
  for (const Sample& sample : evidence.samples) {
    if (sample.id != evidence.samples.front().id || sample.name != evidence.samples.front().name) return nullptr;
  }
  return evidence.samples.empty() ? nullptr : &evidence.samples.back();
}

void FillCgroup(const Incident& incident, Report* report) {
  CgroupFacts& facts = report->cgroup;
  const auto fill = [](Bytes* fact, const Bytes& value) {
    if (!*fact && value) *fact = value;
  };
  if (const CgroupFiles* files = incident.cgroup) {
    if (!facts.version) facts.version = files->version;
    if (!facts.path && !files->path.empty()) facts.path = files->path;
    fill(&facts.limit_bytes, Limited(files->max));
    fill(&facts.usage_bytes, files->current);
    const Number inactive = files->stat.Find(files->version == 1 ? "total_inactive_file" : "inactive_file");
    if (files->current && inactive) fill(&facts.working_set_bytes, Excess(*files->current, *inactive));
    fill(&facts.peak_bytes, files->peak);
    fill(&facts.swap_bytes, files->swap_current ? files->swap_current : files->stat.Find("swap"));
    fill(&facts.oom_events, files->events.Find("oom"));
    fill(&facts.oom_kills, files->OomKills());
    fill(&facts.pids, files->pids_current);
    fill(&facts.pids_limit, Limited(files->pids_max));
    if (!facts.pressure_full_avg10 && files->pressure_full) facts.pressure_full_avg10 = files->pressure_full->avg10;
  }
  if (report->recorded) return;
  if (const OomKill* kill = incident.kill; kill != nullptr && !kill->oom_memcg.empty() && !facts.path)
    facts.path = kill->oom_memcg;
  fill(&facts.limit_bytes, incident.parts.limit);
  fill(&facts.usage_bytes, incident.parts.usage);
  if (incident.state != nullptr) fill(&facts.limit_bytes, Limited(incident.state->limits.memory_bytes));
  if (const Sample* sample = LastOfOneContainer(*report->evidence); sample != nullptr) {
    fill(&facts.usage_bytes, sample->memory_bytes);
    fill(&facts.limit_bytes, Limited(sample->limit_bytes));
  }
  if (incident.declared != nullptr) fill(&facts.limit_bytes, Limited(incident.declared->limits.memory_bytes));
}

Report ReportWithoutRecording() {
  Report report;
  report.recorded = false;
  Profile empty;
  empty.nodes.emplace_back();
  report.profile = std::make_unique<const Profile>(std::move(empty));
  report.frames = std::make_unique<FrameTable>(*report.profile, nullptr);  // without frames nothing is looked up
  return report;
}

// The kernel's own account of the kill, where no snapshot tells more.
void FillBridge(const Incident& incident, Report* report) {
  const Composition& parts = incident.parts;
  MemoryBridge& memory = report->memory;
  if (!parts.anon || !parts.usage || memory.HasFiles()) return;
  memory.cgroup_bytes = parts.usage;
  memory.anon_bytes = parts.anon;
  memory.file_bytes = parts.file;
  memory.shmem_bytes = parts.shmem;
  memory.kernel_bytes = parts.kernel;
  memory.sock_bytes = parts.sock;
  memory.headroom_bytes = parts.limit ? Bytes(Excess(*parts.limit, *parts.usage)) : std::nullopt;
  if (parts.at_kill) report->memory_moment = MemoryMoment{0, std::nullopt, true};
  if (!report->recorded || incident.kill == nullptr || !incident.kill->anon_rss_kb) return;
  memory.other_processes_bytes = Excess(*parts.anon, *incident.kill->anon_rss_kb * 1024);
}

}  // namespace

void JoinEvidence(std::unique_ptr<Evidence> evidence, std::vector<Report>* reports) {
  if (reports->empty()) reports->push_back(ReportWithoutRecording());
  for (Report& report : *reports) {
    const ProcessIdentity process = report.recorded ? IdentityOf(*report.profile, report.end_ns) : ProcessIdentity{};
    report.incident = FindIncident(*evidence, process);
  }
  // One process was killed, though others of the same name may match, too: the surest keeps it.
  for (OomKill& kill : evidence->kills) {
    Report* best = nullptr;
    int best_match = 0;
    for (Report& report : *reports) {
      if (report.incident.kill != &kill) continue;
      const int match = report.recorded ? MatchKill(kill, IdentityOf(*report.profile, report.end_ns)) : 1;
      if (best == nullptr || match > best_match) {
        if (best != nullptr) best->incident.kill = nullptr;
        best = &report;
        best_match = match;
      } else {
        report.incident.kill = nullptr;
      }
    }
    kill.is_target = best != nullptr;
  }
  const std::shared_ptr<const Evidence> shared = std::move(evidence);
  for (Report& report : *reports) {
    report.evidence = shared;
    FillCgroup(report.incident, &report);
    FillBridge(report.incident, &report);
    report.verdict = Decide(&report);
  }
  std::stable_sort(reports->begin(), reports->end(), [](const Report& a, const Report& b) {
    return (a.incident.kill != nullptr) > (b.incident.kill != nullptr);
  });
}

}  // namespace memtrace::tools
