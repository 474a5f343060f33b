#include "tools/render/text_sites.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "tools/analysis/reachability.h"
#include "tools/common/numbers.h"
#include "tools/common/quantity.h"
#include "tools/render/suspect_text.h"
#include "tools/symbols/readable_name.h"

namespace memtrace::tools {
namespace {

size_t Shown(size_t count, size_t top) { return top == 0 ? count : std::min(count, top); }

// The line below a list that is not whole: `things` is what it lists, one of them; `rest` what more is to be said.
void WriteHidden(size_t hidden, std::string_view things, std::string_view rest, Page* page) {
  if (hidden == 0) return;
  page->Line(fmt::format("  ... {} more {}{}{}", hidden, things, hidden == 1 ? "" : "s", rest), Style::kFaint);
}

// Helpers of libraries that stand before the named place, in one line.
std::string FoldedHelpers(const Report& report, std::span<const uint32_t> helpers) {
  std::string libraries;
  std::string_view last;
  for (const uint32_t index : helpers) {
    const std::string_view library = report.frames->frame(index).helper;
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

// Where there is no room for both, the function says more than its place.
std::string SiteName(FrameTable* frames, const Site& site, size_t columns) {
  const Frame* frame = NamingFrame(*frames, frames->Stack(site.node));
  if (frame == nullptr) return "(unknown stack)";
  const std::string& function = frame->source.function;
  const std::string text = FrameText(*frame);
  if (text.size() <= columns || function.empty()) return Shortened(text, columns);
  return Shortened(TailOfName(BareName(function), columns), columns);
}

// Behaviour in a column of eight characters.
constexpr std::string_view kColumnWords[] = {"", "grows", "fills", "bounded", "start-up", "turnover"};

std::string LiveText(const Site& site) {
  const Interval& ci = site.live_bytes_ci95;
  const double half = static_cast<double>(std::max(Excess(ci.high, site.live_bytes), Excess(site.live_bytes, ci.low)));
  if (half == 0) return FormatBytes(site.live_bytes);
  if (site.live_bytes == 0) return fmt::format("<{}", FormatBytes(ci.high));
  return fmt::format("{} ±{:.0f} %", FormatBytes(site.live_bytes), 100 * half / static_cast<double>(site.live_bytes));
}

std::string Signed(int64_t bytes) {
  return (bytes < 0 ? "-" : "+") + FormatBytes(static_cast<uint64_t>(std::abs(bytes)));
}

// A site of the report, or one that only the baseline had.
struct Changed {
  const SiteDifference* difference;
  const Site* site;
  FrameTable* frames;
};

std::vector<Changed> LargestChanges(const Report& report) {
  const Baseline& baseline = *report.baseline;
  std::vector<Changed> changes;
  for (size_t i = 0; i < baseline.sites.size(); ++i)
    changes.push_back({&baseline.sites[i], &report.table.sites[i], report.frames.get()});
  for (size_t i = 0; i < baseline.gone.size(); ++i)
    changes.push_back({&baseline.of_gone[i], &baseline.table.sites[baseline.gone[i]], baseline.frames.get()});
  std::erase_if(changes, [](const Changed& change) {
    return change.difference->bytes() == 0 && change.difference->blocks() == 0;
  });
  std::sort(changes.begin(), changes.end(), [](const Changed& a, const Changed& b) {
    const int64_t x = std::abs(a.difference->bytes());
    const int64_t y = std::abs(b.difference->bytes());
    return x != y ? x > y : a.site->id < b.site->id;
  });
  return changes;
}

std::string ChangeColumns(const SiteDifference& difference, bool follows_blocks) {
  const std::string blocks =
      (difference.blocks() < 0 ? "-" : "+") + FormatCount(static_cast<uint64_t>(std::abs(difference.blocks())));
  std::string text = fmt::format("  {:>11}{:>8}", Signed(difference.bytes()), blocks);
  if (follows_blocks)
    text += fmt::format("{:>11}{:>11}", FormatBytes(difference.fresh.bytes), FormatBytes(difference.freed.bytes));
  return text + "  ";
}

}  // namespace

void WriteSuspects(const Report& report, size_t top, Page* page) {
  for (size_t i = 0; i < Shown(report.suspects.size(), top); ++i) {
    const Suspect& suspect = report.suspects[i];
    page->Heading(SuspectHeading(suspect, i + 1));
    page->Paragraph(SuspectParagraph(report, suspect), 2);
    WriteStack(report, report.table.sites[suspect.site].node, page);
  }
  WriteHidden(report.suspects.size() - Shown(report.suspects.size(), top), "suspect", ", see --top", page);
  if (report.suppressed > 0) {
    page->Line();
    page->Paragraph(fmt::format("{} suspect{} passed over, as the suppressions say.", report.suppressed,
                                report.suppressed == 1 ? " was" : "s were"),
                    0, {}, Style::kFaint);
  }
}

void WriteSites(const Report& report, size_t top, Page* page) {
  if (!report.recorded) return;
  const std::vector<Site>& sites = report.table.sites;
  page->Heading("Consumers by size");
  if (sites.empty()) {
    page->Line("  nothing was allocated that memtrace could see");
    return;
  }
  const bool sums = report.profile->has_sums;
  page->Line("  live                blocks   allocs            allocated by");
  // They come first. Where nothing lives, what was allocated is all there is to show.
  const auto holding = static_cast<size_t>(
      std::count_if(sites.begin(), sites.end(), [](const Site& site) { return site.live_bytes > 0; }));
  const size_t shown = top == 0 || holding == 0 ? Shown(sites.size(), top) : Shown(holding, top);
  for (size_t i = 0; i < shown; ++i) {
    const Site& site = sites[i];
    page->Line(fmt::format("  {}{:>8}{:>9}  {:<8}  {}", PadRight(LiveText(site), 18),
                           FormatCount(site.live_allocations), sums ? FormatCount(site.allocations) : "?",
                           kColumnWords[static_cast<size_t>(site.behaviour)],
                           SiteName(report.frames.get(), site, kPageColumns - 49)));
  }
  const char* rest = shown == holding ? " without a live block, see --top or --json" : ", see --top or --json";
  WriteHidden(sites.size() - shown, "site", rest, page);
  const Totals& totals = report.profile->totals;
  const std::string peak =
      report.profile->has_history ? fmt::format("; {} at the peak", FormatBytes(totals.peak_live_bytes)) : "";
  page->Line(fmt::format("  {:<18}{:>8}{:>9}  in all{}", FormatBytes(totals.live_bytes),
                         FormatCount(totals.live_allocations), sums ? FormatCount(totals.allocations) : "?", peak));
}

void WriteLost(const Report& report, size_t top, Page* page) {
  const std::optional<LostBlocks> lost = SumLost(*report.profile, report.table);
  if (!lost) return;
  page->Heading("Lost for certain");
  const std::string what =
      lost->allocations == 0
          ? "Nothing: pointers to all recorded blocks exist"
          : fmt::format("{} in {} block{} that no pointer leads to any more", FormatBytes(lost->bytes),
                        FormatCount(lost->allocations), lost->allocations == 1 ? "" : "s");
  page->Paragraph(fmt::format("{} ({}).", what, HowLooked(*report.profile)), 2);
  std::vector<const Site*> sites;
  for (const Site& site : report.table.sites) {
    if (site.lost_allocations > 0) sites.push_back(&site);
  }
  if (sites.empty()) return;
  std::sort(sites.begin(), sites.end(), [](const Site* a, const Site* b) {
    return a->lost_bytes != b->lost_bytes ? a->lost_bytes > b->lost_bytes : a->id < b->id;
  });
  page->Line("  lost                blocks  allocated by");
  for (size_t i = 0; i < Shown(sites.size(), top); ++i) {
    page->Line(fmt::format("  {:<18}{:>8}  {}", FormatBytes(sites[i]->lost_bytes),
                           FormatCount(sites[i]->lost_allocations),
                           SiteName(report.frames.get(), *sites[i], kPageColumns - 30)));
  }
  WriteHidden(sites.size() - Shown(sites.size(), top), "site", ", see --top or --json", page);
}

void WriteDifference(const Report& report, size_t top, Page* page) {
  if (!report.baseline) return;
  const Baseline& baseline = *report.baseline;
  const SiteDifference& total = baseline.total;
  page->Heading("Against the baseline");
  page->Paragraph(
      fmt::format("{} live in {}, {} now: {} and {} block{} of difference.", FormatBytes(total.before.bytes),
                  baseline.profile->file_name, FormatBytes(total.now.bytes), Signed(total.bytes()),
                  FormatCount(static_cast<uint64_t>(std::abs(total.blocks()))),
                  std::abs(total.blocks()) == 1 ? "" : "s"),
      2);
  if (baseline.follows_blocks) {
    page->Paragraph(fmt::format("Of that {} are new, {} were freed, {} survived.", FormatBytes(total.fresh.bytes),
                                FormatBytes(total.freed.bytes), FormatBytes(total.survived.bytes)),
                    2);
  } else {
    page->Paragraph("The baseline is no earlier state of this process, so single blocks cannot be followed.", 2);
  }
  const std::vector<Changed> changes = LargestChanges(report);
  if (changes.empty()) return;
  page->Line(baseline.follows_blocks ? "   difference  blocks        new      freed  allocated by"
                                     : "   difference  blocks  allocated by");
  for (size_t i = 0; i < Shown(changes.size(), top); ++i) {
    const std::string columns = ChangeColumns(*changes[i].difference, baseline.follows_blocks);
    page->Line(columns + SiteName(changes[i].frames, *changes[i].site, kPageColumns - columns.size()));
  }
  WriteHidden(changes.size() - Shown(changes.size(), top), "site", ", see --top or --json", page);
}

}  // namespace memtrace::tools
