#include "tools/render/html.h"

#include <fmt/format.h>

#include <string_view>

#include "tools/common/quantity.h"
#include "tools/common/utf8.h"
#include "tools/render/page.h"
#include "tools/render/suspect_text.h"
#include "tools/render/target.h"
#include "tools/symbols/readable_name.h"

namespace memtrace::tools {
namespace {

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : ValidUtf8(text)) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return escaped;
}

// JSON inside of a script element: nothing in it may look like a tag or a comment.
std::string ForScript(std::string_view json) {
  std::string escaped;
  escaped.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      escaped += "\\u003c";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string TitleOf(const Report& report) {
  if (!report.recorded) return Escaped("Memory report: " + report.verdict.cause);
  const std::string exe = DescribeTarget(report).exe;
  const std::string name = exe.empty() ? "unknown program" : exe.substr(exe.rfind('/') + 1);
  return Escaped(fmt::format("{} (pid {}): {}", Shortened(name, 80), report.profile->header.pid, report.verdict.cause));
}

// What a reader without scripts gets, a printer of mails for one.
std::string NoScript(const Report& report) {
  constexpr size_t kMostRows = 50;
  const Verdict& verdict = report.verdict;
  std::string html = fmt::format("<h1>{}</h1>\n<p><b>{} ({})</b>: {}</p>\n", TitleOf(report), Escaped(verdict.cause),
                                 Name(verdict.confidence), Escaped(Shortened(verdict.summary, 2000)));
  for (size_t i = 0; i < std::min(report.suspects.size(), kMostRows); ++i) {
    const Suspect& suspect = report.suspects[i];
    html += fmt::format("<p><b>{}</b><br>{}</p>\n", SuspectHeading(suspect, i + 1),
                        Escaped(Shortened(SuspectParagraph(report, suspect), 2000)));
  }
  html +=
      "<table><thead><tr><th>live</th><th>blocks</th><th>allocations</th><th>allocated by</th></tr></thead><tbody>\n";
  for (size_t i = 0; i < std::min(report.table.sites.size(), kMostRows); ++i) {
    const Site& site = report.table.sites[i];
    const Frame* frame = NamingFrame(*report.frames, report.frames->Stack(site.node));
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", FormatBytes(site.live_bytes),
                        FormatCount(site.live_allocations), FormatCount(site.allocations),
                        frame == nullptr ? "(unknown stack)" : Escaped(Shortened(FrameText(*frame), 400)));
  }
  return html + "</tbody></table>\n<p>Charts and the flame graph of this page need JavaScript.</p>\n";
}

std::string Assemble(const Report& report, const std::string& data) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'sha256-{}'; style-src "
      "'sha256-{}'; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main id=\"page\"></main>\n"
      "<noscript>\n{}</noscript>\n<script type=\"application/json\" id=\"data\">{}</script>\n"
      "<script>{}</script>\n</body>\n</html>\n",
      kHtmlParts.script_hash, kHtmlParts.style_hash, TitleOf(report), kHtmlParts.style, NoScript(report),
      ForScript(data), kHtmlParts.script);
}

}  // namespace

void WriteHtml(std::span<const Report> reports, Metric metric, std::ostream* out) {
  HtmlLimits limits;
  std::string page = Assemble(reports[0], HtmlData(reports, metric, limits));
  // Bounded lists of bounded texts, so this ends long before everything is gone.
  while (page.size() > kLargestPage && limits.nodes > 1) {
    limits = limits.Half();
    page = Assemble(reports[0], HtmlData(reports, metric, limits));
  }
  *out << page;
}

}  // namespace memtrace::tools
