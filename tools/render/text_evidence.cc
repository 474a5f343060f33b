#include "tools/render/text_evidence.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "tools/analysis/settings.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

constexpr uint64_t kUnlimitedKb = uint64_t{1} << 50;

std::string TimeText(const Moment& time) {
  if (time.unix_ns && *time.unix_ns >= 0) return FormatUtc(static_cast<uint64_t>(*time.unix_ns));
  if (!time.text.empty()) return time.text;
  return time.uptime_s ? fmt::format("{:.3f} s after boot", *time.uptime_s) : "time unknown";
}

// Saturates: a log may print anything.
std::string Kilobytes(uint64_t kb) { return FormatBytes(kb > UINT64_MAX / 1024 ? UINT64_MAX : kb * 1024); }

std::string MemoryText(const OomKill& kill) {
  std::string text;
  const auto add = [&text](const Number& kb, std::string_view what) {
    if (kb) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", Kilobytes(*kb), what);
  };
  add(kill.anon_rss_kb, "anonymous");
  add(kill.file_rss_kb, "file");
  add(kill.shmem_rss_kb, "shared");
  add(kill.pgtables_kb, "page tables");
  return text.empty() ? "memory unknown" : text;
}

std::string LimitText(const OomKill& kill) {
  if (kill.scope == OomScope::kGlobal) return "the host was out of memory";
  if (kill.scope == OomScope::kUnknown) return "by whose limit is unknown";
  std::string text = "limit";
  if (kill.limit_kb && *kill.limit_kb < kUnlimitedKb) text += " of " + Kilobytes(*kill.limit_kb);
  if (!kill.oom_memcg.empty()) text += " of " + kill.oom_memcg;
  return text == "limit" ? "limit of a memory cgroup" : text;
}

void WriteKill(const Evidence& evidence, const OomKill& kill, bool is_recorded, Page* page) {
  page->Line(Shortened(fmt::format("  {} (pid {}), {}{}", kill.comm.empty() ? "unknown program" : kill.comm, kill.pid,
                                   TimeText(kill.time), is_recorded ? ", this process" : ""),
                       kPageColumns));
  page->Paragraph(MemoryText(kill), 4);
  if (kill.lines == kLineChosen)
    page->Paragraph("chosen to be killed, it or a child of it: who was is not in the log", 4);
  page->Paragraph(fmt::format("{} [{}]", LimitText(kill), evidence.Where(kill.place)), 4);
}

// A log is of a whole host: what was killed elsewhere on it is a line.
void WriteKillsElsewhere(std::span<const OomKill* const> kills, bool alone, Page* page) {
  const OomKill* newest = kills.back();  // as it was logged, if times say nothing else
  for (const OomKill* kill : kills) {
    if (kill->time.unix_ns.value_or(0) > newest->time.unix_ns.value_or(0)) newest = kill;
  }
  page->Paragraph(
      fmt::format("{}{} elsewhere, {}{} (pid {}), {}, see --top", alone ? "" : "... ", FormatCount(kills.size()),
                  kills.size() == 1 ? "" : "newest: ", newest->comm.empty() ? "unknown program" : newest->comm,
                  newest->pid, TimeText(newest->time)),
      4, "  ", Style::kFaint);
}

void WriteKillList(const Report& report, size_t top, Page* page) {
  std::vector<const OomKill*> kills, elsewhere;
  for (const OomKill& kill : report.evidence->kills)
    (top == 0 || report.incident.Concerns(kill) ? kills : elsewhere).push_back(&kill);
  // The one that the report is about first.
  std::stable_partition(kills.begin(), kills.end(), [&](const OomKill* kill) { return kill == report.incident.kill; });
  const size_t shown = top == 0 ? kills.size() : std::min(kills.size(), top);
  page->Heading(kills.size() <= 1 ? "Killed for memory" : fmt::format("Killed for memory: {} processes", kills.size()));
  for (size_t i = 0; i < shown; ++i)
    WriteKill(*report.evidence, *kills[i], report.recorded && kills[i] == report.incident.kill, page);
  if (shown < kills.size()) page->Line(fmt::format("  ... {} more, see --top", kills.size() - shown), Style::kFaint);
  if (!elsewhere.empty()) WriteKillsElsewhere(elsewhere, kills.empty(), page);
}

// `before` is of the line above, if any: a container's limits are said once.
void WriteState(const Evidence& evidence, const ContainerState& state, const ContainerState* before, Page* page) {
  std::string text = state.name.empty() ? state.id.substr(0, 12) : state.name;
  if (text.empty()) text = state.pod.empty() ? "container" : state.pod;
  text += ": " + (state.status.empty() ? std::string("state unknown") : state.status);
  if (state.exit_code) text += fmt::format(", exit code {}", *state.exit_code);
  if (!state.reason.empty()) {
    text += ", " + state.reason;
  } else if (state.oom_killed) {
    text += *state.oom_killed ? ", OOMKilled" : ", not OOMKilled";
  }
  if (state.restart_count && *state.restart_count > 0) text += fmt::format(", {} restarts", *state.restart_count);
  if (state.limits.memory_bytes && *state.limits.memory_bytes != kNoLimit)
    text += ", limit " + FormatBytes(*state.limits.memory_bytes);
  if (state.previous) text += ", before the last restart";
  page->Paragraph(fmt::format("{} [{}]", text, evidence.Where(state.place)), 4, "  ");
  if (before != nullptr && before->name == state.name && before->pod == state.pod) return;
  for (const std::string& meaning : MeaningOf(state.limits, state.runtime)) page->Paragraph(meaning, 6, "    ");
}

void WriteContainers(const Evidence& evidence, size_t top, Page* page) {
  if (evidence.containers.empty()) return;
  const size_t shown = top == 0 ? evidence.containers.size() : std::min(evidence.containers.size(), top);
  page->Heading(evidence.containers.size() == 1 ? "Container" : "Containers");
  for (size_t i = 0; i < shown; ++i)
    WriteState(evidence, evidence.containers[i], i == 0 ? nullptr : &evidence.containers[i - 1], page);
  if (shown < evidence.containers.size())
    page->Line(fmt::format("  ... {} more, see --top", evidence.containers.size() - shown), Style::kFaint);
}

void WriteDeclared(const Evidence& evidence, size_t top, Page* page) {
  if (evidence.declared.empty()) return;
  page->Heading("Limits as they were set");
  const size_t shown = top == 0 ? evidence.declared.size() : std::min(evidence.declared.size(), top);
  for (size_t i = 0; i < shown; ++i) {
    const DeclaredLimits& declared = evidence.declared[i];
    const std::string& name = declared.name.empty() ? declared.image : declared.name;
    page->Paragraph(
        fmt::format("{}{} [{}]", declared.origin, name.empty() ? "" : ", " + name, evidence.Where(declared.place)), 4,
        "  ");
    if (!declared.limits.any()) page->Paragraph("no limits", 6, "    ");
    for (const std::string& meaning : MeaningOf(declared.limits, declared.origin)) page->Paragraph(meaning, 6, "    ");
  }
  if (shown < evidence.declared.size())
    page->Line(fmt::format("  ... {} more, see --top", evidence.declared.size() - shown), Style::kFaint);
}

}  // namespace

void WriteKills(const Report& report, size_t top, Page* page) {
  if (report.evidence == nullptr) return;
  const Evidence& evidence = *report.evidence;
  if (!evidence.kills.empty()) WriteKillList(report, top, page);
  WriteContainers(evidence, top, page);
  WriteDeclared(evidence, top, page);
}

void WriteEvidenceFiles(const Report& report, Page* page) {
  if (report.evidence == nullptr || report.evidence->files.empty()) return;
  constexpr size_t kMostFiles = 12;
  const std::vector<EvidenceFile>& files = report.evidence->files;
  if (files.size() == 1 && files[0].losses.empty()) return;
  page->Heading("Read");
  for (size_t i = 0; i < std::min(files.size(), kMostFiles); ++i) {
    page->Paragraph(fmt::format("{}: {}", files[i].name, files[i].what), 4, "  ");
    for (const std::string& loss : files[i].losses) page->Paragraph(loss, 4, {}, Style::kAlarm);
  }
  if (files.size() > kMostFiles)
    page->Line(fmt::format("  ... {} more files, see --json", files.size() - kMostFiles), Style::kFaint);
}

}  // namespace memtrace::tools
