#include "tools/render/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "tools/common/numbers.h"
#include "tools/common/quantity.h"
#include "tools/render/page.h"
#include "tools/render/target.h"
#include "tools/symbols/readable_name.h"

namespace memtrace::tools {
namespace {

size_t Shown(size_t count, size_t top) { return top == 0 ? count : std::min(count, top); }

std::string BytesText(const Bytes& bytes) { return bytes ? FormatBytes(*bytes) : "?"; }

void WriteVerdict(const Report& report, Page* page) {
  const Verdict& verdict = report.verdict;
  const Style style = verdict.cause == "none"      ? Style::kGood
                      : verdict.cause == "unknown" ? Style::kHeading
                                                   : Style::kAlarm;
  page->Line(fmt::format("Verdict: {} ({})", verdict.cause, Name(verdict.confidence)), style);
  page->Paragraph(verdict.summary, 2);
}

void WriteTarget(const Report& report, Page* page) {
  if (!report.recorded) return;
  const Target target = DescribeTarget(report);
  const format::Header& header = report.profile->header;
  std::string sampling = SamplingName(header) == "exact" && CurrentRate(header).bytes <= 1
                             ? "every allocation"
                             : fmt::format("one sample per {}", FormatBytes(CurrentRate(header).bytes));
  page->Paragraph(fmt::format("{} (pid {}), {} after {}, {}", target.exe.empty() ? "unknown program" : target.exe,
                              header.pid, report.state, FormatSeconds(target.uptime_s), sampling),
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
// Without a recording.
constexpr BridgeRow kOutsideBridge[] = {
    {"anonymous memory", &MemoryBridge::anon_bytes}, {"page cache", &MemoryBridge::file_bytes},
    {"shared memory", &MemoryBridge::shmem_bytes},   {"kernel", &MemoryBridge::kernel_bytes},
    {"sockets", &MemoryBridge::sock_bytes},
};

std::string BridgeHeading(const Report& report) {
  if (!report.memory_moment) return "Where the memory is";
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
  for (const BridgeRow& row : report.recorded ? std::span<const BridgeRow>(kBridge) : kOutsideBridge) {
    const Bytes& bytes = report.memory.*row.bytes;
    if (!bytes) {
      unknown += fmt::format("{}{}", unknown.empty() ? "" : ", ", row.label);
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

// Helpers of libraries that stand before the named place, in one line.
std::string FoldedHelpers(const Report& report, std::span<const uint32_t> helpers) {
  std::string libraries;
  std::string_view last;
  for (const uint32_t index : helpers) {
    const std::string_view library = HelperLibrary(report.frames->frame(index).source.function);
    if (libraries.find(library) == std::string::npos)
      libraries += fmt::format("{}{}", last.empty() ? "" : ", ", library);
    last = library;
  }
  return fmt::format("    ... {} frame{} of {}", helpers.size(), helpers.size() == 1 ? "" : "s", libraries);
}

// The function and where it is; a long function gives way.
std::string FrameLine(const Frame& frame, size_t columns) {
  const std::string place = FramePlace(frame);
  const size_t room = columns - std::min(place.size(), columns / 2);
  const std::string& function = frame.source.function;
  return Shortened(function.empty() ? FrameName(frame) : NameWithin(function, room), room) + place;
}

void WriteStack(const Report& report, uint32_t node, Page* page) {
  const std::vector<uint32_t> stack = report.frames->Stack(node);
  if (stack.empty()) page->Line("    (unknown stack)");
  const size_t helpers = LeadingHelpers(*report.frames, stack);
  if (helpers > 0) page->Line(FoldedHelpers(report, std::span(stack).first(helpers)), Style::kFaint);
  constexpr size_t kMostFrames = 24;
  for (size_t i = helpers; i < stack.size(); ++i) {
    if (i == helpers + kMostFrames) {
      page->Line(fmt::format("    ... {} more, see --json", stack.size() - i), Style::kFaint);
      break;
    }
    page->Line("    " + FrameLine(report.frames->frame(stack[i]), kPageColumns - 4));
  }
}

void WriteSuspects(const Report& report, size_t top, Page* page) {
  for (size_t i = 0; i < Shown(report.suspects.size(), top); ++i) {
    const Suspect& suspect = report.suspects[i];
    page->Heading(
        fmt::format("Problem suspect {} [{}] {}, {}", i + 1, suspect.id, Name(suspect.kind), Name(suspect.confidence)));
    std::string text =
        fmt::format("{} in {} blocks are live", FormatBytes(suspect.live_bytes), FormatCount(suspect.live_allocations));
    if (suspect.age_p50_s) text += fmt::format(", half of it older than {}", FormatSeconds(*suspect.age_p50_s));
    page->Paragraph(text + ". " + suspect.why, 2);
    WriteStack(report, report.table.sites[suspect.site].node, page);
  }
  const size_t hidden = report.suspects.size() - Shown(report.suspects.size(), top);
  if (hidden > 0) page->Line(fmt::format("  ... {} more suspects, see --top", hidden), Style::kFaint);
}

// Where there is no room for both, the function says more than its place.
std::string SiteName(const Report& report, const Site& site, size_t columns) {
  const Frame* frame = NamingFrame(*report.frames, report.frames->Stack(site.node));
  if (frame == nullptr) return "(unknown stack)";
  const std::string& function = frame->source.function;
  const std::string text = FrameText(*frame);
  if (text.size() <= columns || function.empty()) return Shortened(text, columns);
  const std::string bare = BareName(function);
  return bare.size() <= columns ? bare : Shortened(NameWithin(function, columns), columns);
}

std::string LiveText(const Site& site) {
  const Interval& ci = site.live_bytes_ci95;
  const double half = static_cast<double>(std::max(Excess(ci.high, site.live_bytes), Excess(site.live_bytes, ci.low)));
  if (half == 0) return FormatBytes(site.live_bytes);
  if (site.live_bytes == 0) return fmt::format("<{}", FormatBytes(ci.high));
  return fmt::format("{} ±{:.0f} %", FormatBytes(site.live_bytes), 100 * half / static_cast<double>(site.live_bytes));
}

void WriteSites(const Report& report, size_t top, Page* page) {
  if (!report.recorded) return;
  const std::vector<Site>& sites = report.table.sites;
  page->Heading("Consumers by size");
  if (sites.empty()) {
    page->Line("  nothing was allocated that memtrace could see");
    return;
  }
  page->Line("  live                blocks   allocs  allocated by");
  for (size_t i = 0; i < Shown(sites.size(), top); ++i) {
    const Site& site = sites[i];
    page->Line(fmt::format("  {:<18}{:>8}{:>9}  {}", LiveText(site), FormatCount(site.live_allocations),
                           FormatCount(site.allocations), SiteName(report, site, kPageColumns - 39)));
  }
  const size_t hidden = sites.size() - Shown(sites.size(), top);
  if (hidden > 0) page->Line(fmt::format("  ... {} more sites, see --top or --json", hidden), Style::kFaint);
  const Totals& totals = report.profile->totals;
  page->Line(fmt::format("  {:<18}{:>8}{:>9}  in all; {} at the peak", FormatBytes(totals.live_bytes),
                         FormatCount(totals.live_allocations), FormatCount(totals.allocations),
                         FormatBytes(totals.peak_live_bytes)));
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
  page->Heading("Evidence");
  for (const std::string& line : report.verdict.evidence) {
    if (!of_a_suspect(line)) page->Paragraph(line, 4, "  ");
  }
}

void WriteNext(const Report& report, Page* page) {
  page->Heading("Next");
  for (const std::string& advice : report.verdict.advice) page->Paragraph(advice, 4, "  ");
  if (!report.recorded) return;
  if (report.state == "running" && !report.suspects.empty()) {
    page->Line(fmt::format("  memtrace snapshot {}", report.profile->header.pid));
  } else {
    page->Line(fmt::format("  memtrace-report --json {}", report.profile->file_name));
  }
}

}  // namespace

void WriteText(std::span<const Report> reports, const TextOptions& options, std::ostream* out) {
  const Report& report = reports[0];
  Page page(out, options.colour);
  WriteVerdict(report, &page);
  WriteTarget(report, &page);
  WriteBridge(report, &page);
  WriteEvidence(report, &page);
  WriteSuspects(report, options.top, &page);
  WriteSites(report, options.top, &page);
  WriteLosses(report, &page);
  WriteOthers(reports.subspan(1), &page);
  WriteNext(report, &page);
}

}  // namespace memtrace::tools
