#include "tools/render/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "tools/common/numbers.h"
#include "tools/common/quantity.h"
#include "tools/render/page.h"
#include "tools/render/target.h"
#include "tools/render/text_evidence.h"
#include "tools/render/text_sites.h"

namespace memtrace::tools {
namespace {

std::string BytesText(const Bytes& bytes) { return bytes ? FormatBytes(*bytes) : "?"; }

void WriteVerdict(const Report& report, Page* page) {
  const Verdict& verdict = report.verdict;
  const Style style = verdict.cause == "none"      ? Style::kGood
                      : verdict.cause == "unknown" ? Style::kHeading
                                                   : Style::kAlarm;
  page->Line(fmt::format("Verdict: {} ({})", verdict.cause, Name(verdict.confidence)), style);
  page->Paragraph(verdict.summary, 2);
}

// The executable, and the name that it was started by if that is another one: a link to a program of many names.
std::string ProgramText(const Target& target) {
  if (target.exe.empty()) return "unknown program";
  const auto base_name = [](std::string_view path) { return path.substr(path.rfind('/') + 1); };
  const std::string_view whole = target.command.empty() ? std::string_view() : target.command[0];
  const bool is_title = whole.find(' ') != std::string_view::npos;  // that the program has given itself
  const std::string_view called = is_title ? std::string_view() : base_name(whole);
  const bool other = !called.empty() && !base_name(target.exe).starts_with(called);
  return other ? fmt::format("{} as {}", target.exe, Shortened(called, 40)) : target.exe;
}

void WriteTarget(const Report& report, Page* page) {
  if (!report.recorded) return;
  const Target target = DescribeTarget(report);
  const format::Header& header = report.profile->header;
  if (!report.profile->has_history) {
    page->Paragraph(fmt::format("{}, a heap profile of jemalloc, {}", target.exe, SamplingText(*report.profile)), 2);
    return;
  }
  page->Paragraph(fmt::format("{} (pid {}), {} after {}, {}", ProgramText(target), header.pid, report.state,
                              FormatSeconds(target.uptime_s), SamplingText(*report.profile)),
                  2);
}

struct BridgeRow {
  const char* label;
  Bytes MemoryBridge::*bytes;
};
constexpr BridgeRow kBridge[] = {
    {"native heap, live", &MemoryBridge::native_live_bytes},
    {"allocator overhead", &MemoryBridge::allocator_overhead_bytes},
    {"managed heap, other anon", &MemoryBridge::other_anon_bytes},
    {"thread stacks", &MemoryBridge::stacks_bytes},
    {"other processes", &MemoryBridge::other_processes_bytes},
    {"page cache", &MemoryBridge::file_bytes},
    {"shared memory", &MemoryBridge::shmem_bytes},
    {"kernel", &MemoryBridge::kernel_bytes},
    {"sockets", &MemoryBridge::sock_bytes},
};
// Without a snapshot the process's anonymous memory cannot be divided.
constexpr BridgeRow kUndividedBridge[] = {
    {"native heap, live", &MemoryBridge::native_live_bytes},
    {"anonymous memory, with it", &MemoryBridge::anon_bytes},
    {"page cache", &MemoryBridge::file_bytes},
    {"shared memory", &MemoryBridge::shmem_bytes},
    {"kernel", &MemoryBridge::kernel_bytes},
    {"sockets", &MemoryBridge::sock_bytes},
};

std::string BridgeHeading(const Report& report) {
  if (!report.memory_moment) return "Where the memory is";
  if (report.memory_moment->at_kill) return "Where the memory was at the kill";
  std::string text = fmt::format("Where the memory was at the snapshot {} before the end",
                                 FormatSeconds(report.memory_moment->before_end_s));
  if (report.memory_moment->percent) text += fmt::format(" ({} %)", *report.memory_moment->percent);
  return text;
}

void WriteBridge(const Report& report, Page* page) {
  if (!report.recorded && !report.memory.anon_bytes) return;
  page->Heading(BridgeHeading(report));
  std::string unknown;
  const uint64_t whole = report.memory.cgroup_bytes.value_or(0);
  const bool divided =
      report.memory.other_anon_bytes || report.memory.other_processes_bytes || !report.memory.anon_bytes;
  for (const BridgeRow& row : divided ? std::span<const BridgeRow>(kBridge) : kUndividedBridge) {
    const Bytes& bytes = report.memory.*row.bytes;
    if (!bytes) {
      unknown += fmt::format("{}{}", unknown.empty() ? "" : "; ", row.label);
      continue;
    }
    const std::string share =
        whole > 0 ? FormatShare(static_cast<double>(*bytes) / static_cast<double>(whole)) : std::string();
    page->Line(fmt::format("  {:<26}{:>12}{:>10}", row.label, FormatBytes(*bytes), share));
  }
  std::string cgroup = fmt::format("  {:<26}{:>12}", "cgroup usage", BytesText(report.memory.cgroup_bytes));
  if (report.cgroup.limit_bytes) cgroup += fmt::format("  of {} limit", FormatBytes(*report.cgroup.limit_bytes));
  if (report.memory.headroom_bytes) cgroup += fmt::format(", {} left", FormatBytes(*report.memory.headroom_bytes));
  page->Line(cgroup);
  if (!unknown.empty()) page->Paragraph("not known: " + unknown, 4, "  ", Style::kFaint);
}

void WriteLosses(const Report& report, Page* page) {
  const std::vector<Loss>& losses = report.profile->losses.items();
  if (!losses.empty()) {
    page->Heading("Losses: the input is damaged or truncated");
    for (const Loss& loss : losses) page->Paragraph(fmt::format("{} {}", loss.amount, loss.what), 4, "  ");
  }
  if (!report.blind_spots.empty()) {
    page->Heading("What could not be seen");
    for (const std::string& spot : report.blind_spots) page->Paragraph(spot, 4, "  ");
  }
}

// In a few lines, whatever --top says: the report is on the first process.
void WriteOthers(std::span<const Report> others, Page* page) {
  if (others.empty()) return;
  constexpr size_t kMostLines = 5;
  const size_t shown = others.size() <= kMostLines ? others.size() : kMostLines - 1;
  page->Heading("Other processes");
  for (const Report& report : others.first(shown)) {
    const std::string exe = DescribeTarget(report).exe;
    const std::string name =
        fmt::format("{} (pid {})", exe.empty() ? "unknown program" : exe, report.profile->header.pid);
    page->Line(fmt::format("  {:>10}  {:<13}{}", FormatBytes(report.profile->totals.live_bytes), report.verdict.cause,
                           Shortened(name, kPageColumns - 27)));
  }
  if (shown < others.size()) page->Line(fmt::format("  ... {} more, see --json", others.size() - shown), Style::kFaint);
}

// What speaks for and against the verdict. What the suspects say stands with them.
void WriteEvidence(const Report& report, Page* page) {
  if (report.evidence == nullptr) return;
  const auto of_a_suspect = [&report](const std::string& line) {
    return std::any_of(report.suspects.begin(), report.suspects.end(),
                       [&line](const Suspect& suspect) { return line.find(suspect.id) != std::string::npos; });
  };
  bool any = false;
  for (const std::string& line : report.verdict.evidence) {
    if (of_a_suspect(line)) continue;
    if (!any) page->Heading("Evidence");
    any = true;
    page->Paragraph(line, 4, "  ");
  }
}

// A file name as a shell takes it for one word, whatever is in it.
std::string ShellWord(const std::string& name) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  if (!name.empty() && name[0] != '-' && name.find_first_not_of(kPlain) == std::string::npos) return name;
  std::string word = name.starts_with('-') ? "'./" : "'";
  for (const char c : name) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

// On one line if it fits, else as a shell continues it.
void WriteCommand(const std::string& command, const std::string& argument, Page* page) {
  if (command.size() + argument.size() + 3 <= kPageColumns) {
    page->Line(fmt::format("  {} {}", command, argument));
    return;
  }
  page->Line(fmt::format("  {} \\", command));
  page->Line("      " + argument);
}

void WriteNext(const Report& report, Page* page) {
  if (report.verdict.advice.empty() && !report.recorded) return;
  page->Heading("Next");
  for (const std::string& advice : report.verdict.advice) page->Paragraph(advice, 4, "  ");
  if (!report.recorded) return;
  if (report.state == "running" && !report.suspects.empty()) {
    page->Line(fmt::format("  memtrace snapshot {}", report.profile->header.pid));
  } else {
    WriteCommand("memtrace-report --html=report.html", ShellWord(report.profile->file_name), page);
  }
}

}  // namespace

void WriteText(std::span<const Report> reports, const TextOptions& options, std::ostream* out) {
  const Report& report = reports[0];
  Page page(out, options.look);
  WriteVerdict(report, &page);
  WriteTarget(report, &page);
  WriteBridge(report, &page);
  WriteKills(report, options.top, &page);
  WriteDifference(report, options.top, &page);
  WriteSuspects(report, options.top, &page);
  WriteSites(report, options.top, &page);
  WriteLost(report, options.top, &page);
  WriteEvidence(report, &page);
  WriteLosses(report, &page);
  WriteEvidenceFiles(report, &page);
  WriteOthers(reports.subspan(1), &page);
  WriteNext(report, &page);
}

}  // namespace memtrace::tools
