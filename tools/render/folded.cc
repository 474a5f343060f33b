#include "tools/render/folded.h"

#include <algorithm>
#include <map>
#include <string>

#include "tools/common/numbers.h"
#include "tools/common/utf8.h"

namespace memtrace::tools {
namespace {

// Semicolons separate frames, a newline ends the stack.
std::string Escaped(std::string_view name) {
  std::string text = Printable(name);
  std::replace(text.begin(), text.end(), ';', ':');
  return text;
}

struct Weights {
  uint64_t before = 0;
  uint64_t now = 0;
};
using Lines = std::map<std::string, Weights>;

void AddSites(const SiteTable& table, FrameTable* frames, Metric metric, uint64_t Weights::*weight, Lines* lines) {
  ResolveStacks(table, frames);
  for (const Site& site : table.sites) {
    const uint64_t amount = WeightOf(site, metric);
    if (amount == 0) continue;
    const std::vector<uint32_t> stack = frames->Stack(site.node);
    std::string line;
    for (auto index = stack.rbegin(); index != stack.rend(); ++index) {
      if (!line.empty()) line += ';';
      line += Escaped(FrameName(frames->frame(*index)));
    }
    uint64_t& sum = (*lines)[line.empty() ? "(unknown)" : line].*weight;
    sum = SaturatingAdd(sum, amount);
  }
}

}  // namespace

void WriteFolded(const Report& report, Metric metric, std::ostream* out) {
  Lines lines;
  AddSites(report.table, report.frames.get(), metric, &Weights::now, &lines);
  if (report.baseline)
    AddSites(report.baseline->table, report.baseline->frames.get(), metric, &Weights::before, &lines);
  for (const auto& [line, weights] : lines) {
    *out << line << ' ';
    if (report.baseline) *out << weights.before << ' ';
    *out << weights.now << '\n';
  }
}

}  // namespace memtrace::tools
