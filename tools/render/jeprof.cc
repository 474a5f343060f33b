#include "tools/render/jeprof.h"

#include <fmt/format.h>

#include <string>

namespace memtrace::tools {
namespace {

// One address for the frames that are inlined into a function and the function. jeprof takes one off each address but
// the first, as of return addresses.
std::string Addresses(FrameTable* frames, uint32_t node) {
  std::string text;
  for (const uint32_t index : frames->Stack(node)) {
    const Frame& frame = frames->frame(index);
    if (frame.source.inlined) continue;
    const uint64_t bias = frame.module != nullptr ? frame.module->bias : 0;
    text += fmt::format(" {:#x}", frame.offset + bias + (text.empty() ? 0 : 1));
  }
  return text.empty() ? " 0x0" : text;
}

std::string Counts(uint64_t live, uint64_t live_bytes, uint64_t allocations, uint64_t allocated_bytes) {
  return fmt::format("  t*: {}: {} [{}: {}]\n", live, live_bytes, allocations, allocated_bytes);
}

// As in /proc/PID/maps. The offset stands for the bias: jeprof computes address - start + offset.
std::string MapLine(const Module& module) {
  return fmt::format("{:x}-{:x} r-xp {:08x} 00:00 0 {}\n", module.start, module.end, module.start - module.bias,
                     module.path);
}

}  // namespace

void WriteJeprof(const Report& report, std::ostream* out) {
  const Profile& profile = *report.profile;
  const Totals& totals = profile.totals;
  ResolveStacks(report.table, report.frames.get());
  *out << "heap_v2/1\n"
       << Counts(totals.live_allocations, totals.live_bytes, totals.allocations, totals.allocated_bytes);
  for (const Site& site : report.table.sites) {
    *out << '@' << Addresses(report.frames.get(), site.node) << '\n'
         << Counts(site.live_allocations, site.live_bytes, site.allocations, site.allocated_bytes);
  }
  *out << "\nMAPPED_LIBRARIES:\n";
  // The first one is taken for the program's, as in /proc/PID/maps.
  const std::string executable = profile.BlobOr(format::BlobKind::kExecutable, "");
  for (const bool is_program : {true, false}) {
    for (const Module& module : profile.modules) {
      if (!module.path.empty() && (module.path == executable) == is_program) *out << MapLine(module);
    }
  }
}

}  // namespace memtrace::tools
