#include "tools/analysis/composition.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <string_view>

#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

// The largest number that version 1 prints for "no limit" is 2^63 less a page, or that in kB.
constexpr uint64_t kLeastNoLimitKb = uint64_t{1} << 50;

Bytes Sum(std::initializer_list<Bytes> parts) {
  Bytes sum;
  for (const Bytes& part : parts) {
    if (part) sum = SaturatingAdd(sum.value_or(0), *part);
  }
  return sum;
}

Bytes FromKb(const Number& kb) { return kb && *kb < kLeastNoLimitKb ? Bytes(*kb * 1024) : std::nullopt; }

Bytes Limited(const Number& limit) { return limit && *limit < kLeastNoLimitKb * 1024 ? limit : std::nullopt; }

Bytes Without(const Bytes& whole, const Bytes& part) {
  return whole ? Bytes(Excess(*whole, part.value_or(0))) : std::nullopt;
}

// Lines of memory.stat, wherever they were printed. `find` takes a name of the kernel's.
void ReadStat(const std::function<Number(std::string_view)>& find, Composition* parts) {
  // Version 1 counts the cgroups below under names of their own.
  const auto either = [&find](std::string_view v1, std::string_view v2) {
    for (const std::string& name : {"total_" + std::string(v1), std::string(v2), std::string(v1)}) {
      if (const Number value = find(name)) return value;
    }
    return Number();
  };
  parts->anon = either("rss", "anon");
  parts->shmem = either("shmem", "shmem");
  parts->file = Without(either("cache", "file"), parts->shmem);
  parts->dirty = Sum({either("dirty", "file_dirty"), either("writeback", "file_writeback")});
  parts->sock = find("sock");
  parts->slab = find("slab");
  if (!parts->slab) parts->slab = Sum({find("slab_reclaimable"), find("slab_unreclaimable")});
  parts->pagetables = find("pagetables");
  parts->kernel_stack = find("kernel_stack");
  parts->swap = either("swap", "swap");
  // "kernel" is the sum of the others since Linux 5.18.
  parts->kernel = find("kernel");
  if (!parts->kernel)
    parts->kernel = Sum({parts->slab, parts->pagetables, parts->kernel_stack, find("percpu"), find("vmalloc")});
}

// Before Linux 5.2 each cgroup of the tree has a line of its own, which counts nobody else.
Number SumOverCgroups(const OomReport& report, std::string_view name) {
  Number sum;
  for (const MemcgStats& stats : report.stats) {
    if (const Number bytes = stats.BytesOf(name)) sum = SaturatingAdd(sum.value_or(0), *bytes);
    if (!stats.in_kb) break;
  }
  return sum;
}

}  // namespace

double Composition::Share(const Bytes& part) const {
  if (!part || usage.value_or(0) == 0) return 0;
  return static_cast<double>(*part) / static_cast<double>(*usage);
}

std::optional<double> Composition::Unexplained() const {
  if (usage.value_or(0) == 0 || !anon || !file || !kernel) return std::nullopt;
  return 1 - Share(Sum({anon, file, shmem, kernel, sock}));
}

Composition CompositionOf(const OomReport& report, const Evidence& evidence) {
  Composition parts;
  ReadStat([&report](std::string_view name) { return SumOverCgroups(report, name); }, &parts);
  parts.usage = FromKb(report.memory.usage_kb);
  parts.limit = FromKb(report.memory.limit_kb);
  if (!parts.kernel) parts.kernel = FromKb(report.kmem.usage_kb);
  parts.where = evidence.Where(report.stats.empty() ? report.place : report.stats.front().place);
  parts.at_kill = true;
  return parts;
}

Composition CompositionOf(const CgroupFiles& files, const Evidence& evidence) {
  Composition parts;
  ReadStat([&files](std::string_view name) { return files.stat.Find(name); }, &parts);
  parts.usage = files.current;
  parts.limit = Limited(files.max);
  if (!parts.kernel) parts.kernel = files.kernel_current;
  if (files.swap_current) parts.swap = files.swap_current;
  parts.where = evidence.Where(files.place);
  return parts;
}

Composition CompositionOf(const Sample& sample, const Evidence& evidence) {
  Composition parts;
  const NamedNumbers& more = sample.more;
  parts.usage = sample.memory_bytes;
  parts.limit = sample.limit_bytes ? Limited(sample.limit_bytes) : Limited(more.Find("limit_bytes"));
  parts.anon = more.Find("anon_bytes");
  parts.file = more.Find("file_bytes");
  parts.shmem = more.Find("shmem_bytes");
  parts.kernel = more.Find("kernel_bytes");
  parts.sock = more.Find("sock_bytes");
  parts.swap = more.Find("swap_bytes");
  parts.where = evidence.Where(sample.place);
  return parts;
}

Composition CompositionOf(const MemoryBridge& bridge, const CgroupFacts& cgroup) {
  Composition parts;
  parts.usage = bridge.cgroup_bytes;
  parts.limit = cgroup.limit_bytes;
  parts.anon = bridge.anon_bytes;
  parts.file = bridge.file_bytes;
  parts.shmem = bridge.shmem_bytes;
  parts.kernel = bridge.kernel_bytes;
  parts.sock = bridge.sock_bytes;
  parts.swap = cgroup.swap_bytes;
  if (bridge.HasFiles()) parts.where = "the snapshot";
  return parts;
}

}  // namespace memtrace::tools
