#include "injector/monitor/sample.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "libmemtrace/rt/os.h"

namespace memtrace::injector {
namespace {

using format::kUnknown;

constexpr uint64_t kNoLimit = uint64_t{1} << 60;

// A number in a file: alone, or after `key` on a line.
struct Source {
  Field field;
  const char* file;
  const char* key;
};
constexpr Source kSources1[] = {
    {kUsage, "memory.usage_in_bytes", nullptr},
    {kPeak, "memory.max_usage_in_bytes", nullptr},
    {kWorkingSet, "memory.stat", "total_inactive_file"},
    {kAnon, "memory.stat", "total_rss"},
    {kFile, "memory.stat", "total_cache"},
    {kShmem, "memory.stat", "total_shmem"},
    {kKernel, "memory.kmem.usage_in_bytes", nullptr},
    {kSock, "memory.kmem.tcp.usage_in_bytes", nullptr},
    {kSwap, "memory.stat", "total_swap"},
    {kOomKills, "memory.oom_control", "oom_kill"},
};
// memory.stat has "kernel" since Linux 5.18, memory.peak is of 5.19.
constexpr Source kSources2[] = {
    {kUsage, "memory.current", nullptr},
    {kPeak, "memory.peak", nullptr},
    {kWorkingSet, "memory.stat", "inactive_file"},
    {kAnon, "memory.stat", "anon"},
    {kFile, "memory.stat", "file"},
    {kShmem, "memory.stat", "shmem"},
    {kKernel, "memory.stat", "kernel"},
    {kSock, "memory.stat", "sock"},
    {kSwap, "memory.swap.current", nullptr},
    {kOomEvents, "memory.events", "oom"},
    {kOomKills, "memory.events", "oom_kill"},
};

std::string Read(const std::string& path) {
  std::string content(16384, '\0');
  content.resize(rt::ReadFile(path.c_str(), content.data(), content.size()).size);
  return content;
}

uint64_t NumberAt(const char* text) {
  char* end = nullptr;
  const uint64_t value = strtoull(text, &end, 10);
  return end == text ? kUnknown : value;
}

uint64_t ValueOf(const std::string& content, const char* key) {
  if (key == nullptr) return NumberAt(content.c_str());
  const size_t length = strlen(key);
  for (size_t line = 0; line < content.size();) {
    if (content.compare(line, length, key) == 0 && (content[line + length] == ' ' || content[line + length] == ':'))
      return NumberAt(content.c_str() + line + length + 1);
    const size_t end = content.find('\n', line);
    if (end == std::string::npos) break;
    line = end + 1;
  }
  return kUnknown;
}

template <size_t kCount>
void ReadSources(const std::string& directory, const Source (&sources)[kCount], MonitorSample* sample) {
  std::string name;
  std::string content;
  for (const Source& source : sources) {
    // memory.stat is large, and its keys stand together here.
    if (name != source.file) content = Read(directory + "/" + (name = source.file));
    sample->values[source.field] = ValueOf(content, source.key);
  }
}

// a - b, unknown if either is.
uint64_t Less(uint64_t a, uint64_t b) {
  if (a == kUnknown || b == kUnknown) return kUnknown;
  return a > b ? a - b : 0;
}

void ReadLimit(const rt::Cgroup& cgroup, MonitorSample* sample) {
  rt::MemoryUse use;
  if (!rt::ReadMemoryUse(cgroup, true, &use) || use.limit_bytes >= kNoLimit) return;
  sample->values[kLimit] = use.limit_bytes;
  if (use.limit_bytes == 0) return;
  // The usage may have moved since it was read for its column; one row is to agree with itself.
  const bool own_limit = strcmp(cgroup.limit_directory, cgroup.directory) == 0 && sample->Knows(kUsage);
  const uint64_t usage_bytes = own_limit ? sample->values[kUsage] : use.usage_bytes;
  sample->percent = 100 * static_cast<double>(usage_bytes) / static_cast<double>(use.limit_bytes);
}

void ReadPressure(const std::string& directory, MonitorSample* sample) {
  const std::string text = Read(directory + "/memory.pressure");
  const size_t at = text.find("full avg10=");
  if (at != std::string::npos) sample->pressure_full_avg10 = strtod(text.c_str() + at + strlen("full avg10="), nullptr);
}

}  // namespace

const std::array<FieldName, kFieldCount> kFieldNames = {{
    {"memory_bytes", "container_memory_usage_bytes", false, "Memory in use, page cache included."},
    {"working_set_bytes", "container_memory_working_set_bytes", false, "Usage less inactive page cache."},
    {"limit_bytes", "container_spec_memory_limit_bytes", false, "The limit that will be hit first."},
    {"peak_bytes", "container_memory_max_usage_bytes", false, "The highest usage so far."},
    {"anon_bytes", "container_memory_rss", false, "Anonymous memory."},
    {"file_bytes", "container_memory_cache", false, "Page cache, without shared memory."},
    {"shmem_bytes", "memtrace_memory_shmem_bytes", false, "Shared memory and tmpfs."},
    {"kernel_bytes", "container_memory_kernel_usage", false, "Memory of the kernel."},
    {"sock_bytes", "memtrace_memory_sock_bytes", false, "Buffers of sockets."},
    {"swap_bytes", "container_memory_swap", false, "Swap in use."},
    {"rss_bytes", "memtrace_process_resident_bytes", false, "Resident memory of the process."},
    {"pids", "container_processes", false, "Processes and threads."},
    {"pids_limit", "memtrace_pids_limit", false, "The limit of processes and threads."},
    {"oom_events", "memtrace_oom_limit_hits", true, "Times that the limit was hit and nothing could be reclaimed."},
    {"oom_kills", "container_oom_events", true, "Processes that the kernel killed for memory."},
    {"snapshots", "memtrace_snapshots", true, "Snapshots taken since the monitor began."},
}};

MonitorSample::MonitorSample() { values.fill(kUnknown); }

bool MonitorSample::Knows(Field field) const { return values[field] != kUnknown; }

MonitorSample ReadSample(const MonitorTarget& target) {
  MonitorSample sample;
  sample.time_ns = rt::NowNanoseconds(rt::Clock::kRealtime);
  const std::string directory = target.cgroup.directory;
  if (target.cgroup.version == 2) ReadSources(directory, kSources2, &sample);
  if (target.cgroup.version == 1) ReadSources(directory, kSources1, &sample);
  auto& values = sample.values;
  values[kWorkingSet] = Less(values[kUsage], values[kWorkingSet]);
  values[kFile] = Less(values[kFile], values[kShmem] == kUnknown ? 0 : values[kShmem]);
  ReadLimit(target.cgroup, &sample);
  ReadPressure(directory, &sample);
  if (const std::string pids = target.cgroup.pids_directory; !pids.empty()) {
    values[kPids] = ValueOf(Read(pids + "/pids.current"), nullptr);
    values[kPidsLimit] = ValueOf(Read(pids + "/pids.max"), nullptr);
  }
  if (target.pid != 0) {
    const uint64_t kib = ValueOf(Read("/proc/" + std::to_string(target.pid) + "/status"), "VmRSS");
    if (kib != kUnknown) values[kRss] = kib * 1024;
  }
  return sample;
}

std::string TimeText(uint64_t unix_ns) {
  const time_t seconds = static_cast<time_t>(unix_ns / 1000000000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const size_t length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(text + length, sizeof(text) - length, ".%03uZ", static_cast<unsigned>(unix_ns / 1000000 % 1000));
  return text;
}

}  // namespace memtrace::injector
