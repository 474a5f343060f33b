#include "injector/memory_check.h"

#include <cstdio>

#include "injector/process_memory.h"
#include "libmemtrace/rt/cgroup.h"
#include "libmemtrace/rt/os.h"

namespace memtrace::injector {
namespace {

using format::kUnknown;

std::string Size(uint64_t bytes) { return rt::TextBuffer<32>().AddSize(bytes).c_str(); }

std::string Percent(double value) {
  char text[32];
  snprintf(text, sizeof(text), "%.1f%%", value);
  return text;
}

CheckResult Unknown(const std::string& why) { return {kCheckUnknown, "cannot tell: " + why}; }

}  // namespace

CheckResult CheckMemory(const CheckRequest& request) {
  const std::string process = "/proc/" + (request.pid.empty() ? "self" : request.pid);
  rt::FileIdentity identity;
  if (!rt::IdentifyPath((request.root + process + "/cgroup").c_str(), &identity)) {
    return Unknown(request.pid.empty() ? "/proc is not mounted" : NoSuchProcess(request.pid));
  }
  rt::Cgroup cgroup;
  if (!rt::FindCgroup(process.c_str(), request.root.c_str(), &cgroup)) {
    return Unknown(cgroup.version == 0 ? "the process is in no memory cgroup"
                                       : "no mount shows the memory cgroup " + std::string(cgroup.path));
  }
  const std::string place = cgroup.limit_directory;
  rt::MemoryUse use;
  if (!rt::ReadMemoryUse(cgroup, true, &use)) return Unknown("the memory usage in " + place + " is not readable");
  if (use.limit_bytes == kUnknown)
    return Unknown("no memory limit is set, as seen from " + place + "; set one, such as docker run --memory=512m");
  const uint64_t used = request.count_page_cache ? use.usage_bytes : use.WorkingSetBytes();
  if (used == kUnknown) return Unknown("memory.stat in " + place + " is not readable; try --usage");
  // A limit of 0 is full, whatever is used.
  const double percent =
      use.limit_bytes == 0 ? 100 : 100 * static_cast<double>(used) / static_cast<double>(use.limit_bytes);
  const bool below = percent < request.threshold_percent;
  return {below ? kCheckBelow : kCheckAbove,
          (below ? "ok: " : "above " + Percent(request.threshold_percent) + ": ") + Percent(percent) +
              " of the memory limit, " + Size(used) + " of " + Size(use.limit_bytes) +
              (request.count_page_cache ? " used" : " in the working set") + " (" + place + ")"};
}

}  // namespace memtrace::injector
