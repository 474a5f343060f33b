#include "tools/analysis/memory.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "tools/analysis/mappings.h"
#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

// v1 says "no limit" with the largest number that is a multiple of a page.
constexpr uint64_t kNoLimit = uint64_t{1} << 60;

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

Bytes ParseUint(std::string_view text, int base = 10) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

Bytes Known(uint64_t value) { return value == format::kUnknown ? Bytes() : Bytes(value); }

Bytes Difference(Bytes a, Bytes b) {
  if (!a || !b) return std::nullopt;
  return Excess(*a, *b);
}

// The files of one cgroup: v1 and v2 names for one thing side by side.
class CgroupFiles {
 public:
  CgroupFiles(const Profile& profile, std::string prefix) : profile_(profile), prefix_(std::move(prefix)) {}

  std::string_view Text(std::string_view name) const {
    const std::string* content = profile_.FindBlob(format::BlobKind::kCgroupFile, prefix_ + std::string(name));
    return content != nullptr ? std::string_view(*content) : std::string_view();
  }
  // The content of the first of these files that holds a number.
  Bytes Number(std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names) {
      if (const Bytes value = ParseUint(Trim(Text(name)))) return value;
    }
    return std::nullopt;
  }
  Bytes Limit(std::initializer_list<std::string_view> names) const {
    const Bytes value = Number(names);
    return value && *value < kNoLimit ? value : std::nullopt;
  }
  // A line of memory.stat. v1's total_* covers the children too, as v2's numbers do.
  Bytes Stat(std::string_view v2, std::string_view v1) const {
    const std::string_view text = Text("memory.stat");
    for (const std::string& key : {"total_" + std::string(v1), std::string(v2), std::string(v1)}) {
      if (const Bytes value = FieldOf(text, key)) return value;
    }
    return std::nullopt;
  }

 private:
  const Profile& profile_;
  std::string prefix_;
};

// Snapshots store the files of the process's own cgroup and of the one with the limit, the latter
// prefixed by "../" per level. The smallest limit is the one that kills.
std::string LimitPrefix(const Profile& profile) {
  std::string best;
  Bytes smallest;
  for (const Blob& blob : profile.blobs) {
    if (blob.kind != format::BlobKind::kCgroupFile) continue;
    const std::string prefix = blob.name.substr(0, blob.name.rfind('/') + 1);
    const Bytes limit = CgroupFiles(profile, prefix).Limit({"memory.max", "memory.limit_in_bytes"});
    if (limit && (!smallest || *limit < *smallest)) {
      smallest = limit;
      best = prefix;
    }
  }
  return best;
}

std::optional<double> PressureFullAvg10(std::string_view text) {
  const size_t line = text.find("full avg10=");
  if (line == std::string_view::npos) return std::nullopt;
  const std::string_view number = text.substr(line + 11);
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

std::string_view ProcText(const Profile& profile, std::string_view name) {
  const std::string* content = profile.FindBlob(format::BlobKind::kProcFile, name);
  return content != nullptr ? std::string_view(*content) : std::string_view();
}

}  // namespace

Bytes FieldOf(std::string_view text, std::string_view key) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with(key) || line.size() == key.size()) continue;
    const char after = line[key.size()];
    if (after != ' ' && after != '\t') continue;
    const Bytes value = ParseUint(Trim(line.substr(key.size())));
    if (value && line.ends_with("kB")) return *value > kNoLimit / 1024 ? std::nullopt : Bytes(*value * 1024);
    return value;
  }
  return std::nullopt;
}

CgroupFacts ReadCgroupFacts(const Profile& profile) {
  CgroupFacts facts;
  const std::string version = profile.BlobOr(format::BlobKind::kCgroupVersion, "");
  if (version == "1" || version == "2") facts.version = version[0] - '0';
  if (const std::string* path = profile.FindBlob(format::BlobKind::kCgroupPath)) facts.path = *path;

  const CgroupFiles files(profile, LimitPrefix(profile));
  facts.limit_bytes = files.Limit({"memory.max", "memory.limit_in_bytes"});
  facts.usage_bytes = files.Number({"memory.current", "memory.usage_in_bytes"});
  facts.working_set_bytes = Difference(facts.usage_bytes, files.Stat("inactive_file", "inactive_file"));
  facts.peak_bytes = files.Number({"memory.peak", "memory.max_usage_in_bytes"});
  facts.swap_bytes = files.Number({"memory.swap.current"});
  if (!facts.swap_bytes) facts.swap_bytes = files.Stat("swap", "swap");
  facts.oom_events = FieldOf(files.Text("memory.events"), "oom");
  facts.oom_kills = FieldOf(files.Text("memory.events"), "oom_kill");
  if (!facts.oom_kills) facts.oom_kills = FieldOf(files.Text("memory.oom_control"), "oom_kill");
  const CgroupFiles own(profile, "");  // pids has a hierarchy of its own
  facts.pids = own.Number({"pids.current"});
  facts.pids_limit = own.Limit({"pids.max"});
  facts.pressure_full_avg10 = PressureFullAvg10(files.Text("memory.pressure"));

  if (!facts.limit_bytes) facts.limit_bytes = Known(profile.header.cgroup_limit_bytes);
  if (facts.limit_bytes && *facts.limit_bytes >= kNoLimit) facts.limit_bytes.reset();
  // A recording carries no copy of the files; its time line does say how much was used.
  if (!facts.usage_bytes && !profile.timeline.empty()) {
    facts.usage_bytes = Known(profile.timeline.back().cgroup_usage_bytes);
    facts.working_set_bytes = Known(profile.timeline.back().cgroup_working_set_bytes);
  }
  return facts;
}

namespace {

// Linux 5.18 counts "kernel"; before, it is what its parts sum up to.
Bytes KernelBytes(const CgroupFiles& files) {
  if (const Bytes kernel = files.Stat("kernel", "kernel")) return kernel;
  if (const Bytes kernel = files.Number({"memory.kmem.usage_in_bytes"})) return kernel;
  Bytes sum;
  for (const char* part : {"slab", "kernel_stack", "pagetables", "percpu"}) {
    if (const Bytes bytes = FieldOf(files.Text("memory.stat"), part)) sum = SaturatingAdd(sum.value_or(0), *bytes);
  }
  return sum;
}

bool EveryBlockIsKnown(const Profile& profile) {
  return profile.totals.dropped_allocations == 0 &&
         std::all_of(profile.live.begin(), profile.live.end(),
                     [](const LiveBlock& block) { return block.rate_bytes == 1; });
}

// Divides the process's anonymous memory.
void DivideAnonymous(const Profile& profile, uint64_t anon, MemoryBridge* bridge) {
  const std::string_view status = ProcText(profile, "status");
  const uint64_t threads = FieldOf(status, "Threads:").value_or(1);
  const uint64_t main_stack = FieldOf(status, "VmStk:").value_or(0);
  const std::optional<Mappings> mappings = MeasureMappings(profile);
  if (!mappings) return;
  const uint64_t live = profile.totals.live_bytes;
  // Live blocks whose pages were never written are in no RSS, and an estimate may be too high: what lies beside them is
  // not known then.
  if (SaturatingAdd(live, main_stack) > anon) return;
  uint64_t beside = anon - live - main_stack;
  bridge->allocator_overhead_bytes = std::min(beside, Excess(mappings->allocator_bytes, live));
  beside -= *bridge->allocator_overhead_bytes;
  if (EveryBlockIsKnown(profile)) {
    bridge->fragmented_bytes =
        std::min(*bridge->allocator_overhead_bytes, Excess(mappings->pages_with_blocks_bytes, live));
    bridge->retained_bytes = *bridge->allocator_overhead_bytes - *bridge->fragmented_bytes;
  }
  bridge->other_anon_bytes = beside;
  if (threads <= 1) return;
  // How much of the other threads' stacks is resident nobody tells. At most all of it, at least what has no room
  // elsewhere.
  const uint64_t most = std::min(beside, mappings->stacks_bytes);
  const uint64_t least = Excess(beside, mappings->other_bytes);
  constexpr uint64_t kExactEnough = uint64_t{1} << 20;
  bridge->stacks_bytes.reset();
  if (most < least || most - least > std::max(kExactEnough, most / 5)) return;
  const uint64_t stacks = least + (most - least) / 2;
  bridge->stacks_bytes = main_stack + stacks;
  bridge->other_anon_bytes = beside - stacks;
}

}  // namespace

MemoryBridge BuildBridge(const Profile& profile, const CgroupFacts& cgroup) {
  MemoryBridge bridge;
  const CgroupFiles files(profile, LimitPrefix(profile));
  const std::string_view status = ProcText(profile, "status");
  bridge.cgroup_bytes = cgroup.usage_bytes;
  bridge.headroom_bytes = Difference(cgroup.limit_bytes, cgroup.usage_bytes);
  bridge.native_live_bytes = profile.totals.live_bytes;
  bridge.shmem_bytes = files.Stat("shmem", "shmem");
  bridge.file_bytes = Difference(files.Stat("file", "cache"), bridge.shmem_bytes.value_or(0));
  bridge.kernel_bytes = KernelBytes(files);
  bridge.sock_bytes = files.Stat("sock", "sock");
  bridge.anon_bytes = files.Stat("anon", "rss");

  Bytes anon = FieldOf(ProcText(profile, "smaps_rollup"), "Anonymous:");
  if (!anon) anon = FieldOf(status, "RssAnon:");
  bridge.other_processes_bytes = Difference(bridge.anon_bytes, anon);
  // VmStk is the main thread's stack; other stacks are mappings like any other.
  if (FieldOf(status, "Threads:") == Bytes(1)) bridge.stacks_bytes = FieldOf(status, "VmStk:");
  if (anon) DivideAnonymous(profile, *anon, &bridge);
  return bridge;
}

}  // namespace memtrace::tools
