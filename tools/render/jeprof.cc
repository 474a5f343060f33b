#include "tools/render/jeprof.h"

#include <fmt/format.h>

#include <string>

namespace memtrace::tools {
namespace {

// jeprof takes one off each address but the first, as of return addresses.
std::string Addresses(const Profile& profile, uint32_t node) {
  std::string text;
  for (; node != 0; node = profile.nodes[node].parent) {
    const StackNode& frame = profile.nodes[node];
    if (frame.module != format::kNoModule && IsOwnModule(profile.modules[frame.module])) continue;
    text += fmt::format(" {:#x}", frame.pc + (text.empty() ? 0 : 1));
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
  *out << "heap_v2/1\n"
       << Counts(totals.live_allocations, totals.live_bytes, totals.allocations, totals.allocated_bytes);
  for (const Site& site : report.table.sites) {
    *out << '@' << Addresses(profile, site.node) << '\n'
         << Counts(site.live_allocations, site.live_bytes, site.allocations, site.allocated_bytes);
  }
  *out << "\nMAPPED_LIBRARIES:\n";
  for (const Module& module : profile.modules) {
    if (!module.path.empty()) *out << MapLine(module);
  }
}

}  // namespace memtrace::tools
