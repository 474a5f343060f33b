#include "injector/monitor/ending.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/os.h"

namespace memtrace::injector {
namespace {

using format::kUnknown;

// PIDFD_GET_INFO of <linux/pidfd.h>, Linux 6.15: tells the status also after the parent took it.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup;
  uint32_t ids[11];
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr uint64_t kInfoExit = 1 << 3;

std::vector<int> ProcessesIn(const std::string& directory) {
  std::vector<int> pids;
  std::ifstream file(directory + "/cgroup.procs");
  for (int pid = 0; file >> pid;) pids.push_back(pid);
  return pids;
}

// Of the cgroup or one below; 0 if there is none.
int AnyProcessBelow(const std::string& directory, int levels = 8) {
  if (const std::vector<int> pids = ProcessesIn(directory); !pids.empty()) return pids.front();
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(directory.c_str()), closedir);
  while (const dirent* entry = folder && levels > 0 ? readdir(folder.get()) : nullptr) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    if (const int pid = AnyProcessBelow(directory + "/" + entry->d_name, levels - 1); pid != 0) return pid;
  }
  return 0;
}

std::string StatusText(int status) {
  if (WIFSIGNALED(status)) return "killed by signal " + std::to_string(WTERMSIG(status));
  return "exited with status " + std::to_string(WEXITSTATUS(status));
}

// The last field of /proc/PID/stat, while the parent has not taken it.
bool ZombieStatus(int pid, int* status) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || text.compare(name_end, 3, ") Z") != 0) return false;
  *status = atoi(text.c_str() + text.find_last_of(' ') + 1);
  return true;
}

// What docker or podman keep of a container that has ended; they need a moment to notice.
std::string RuntimeState(const MonitorTarget& target) {
  if (target.runtime.empty()) return "";
  for (int tries = 0; tries < 30; ++tries) {
    const char* const command[] = {target.runtime.c_str(),
                                   "inspect",
                                   "--type=container",
                                   "--format={{.State.Running}} {{.State.OOMKilled}} {{.State.ExitCode}}",
                                   "--",
                                   target.name.c_str(),
                                   nullptr};
    std::istringstream words(OutputOf(command));
    std::string running, killed, status;
    if (!(words >> running >> killed >> status)) return "";
    if (running == "false") return target.runtime + " says OOMKilled=" + killed + ", exit code " + status;
    rt::SleepNanoseconds(100000000);
  }
  return "";
}

}  // namespace

EndingWatch::EndingWatch(const MonitorTarget& target)
    : target_(target), begin_uptime_s_(static_cast<double>(rt::NowNanoseconds(rt::Clock::kMonotonic)) / 1e9) {
  Follow(target.pid != 0 ? target.pid : AnyProcessBelow(target.cgroup.directory));
}

EndingWatch::~EndingWatch() {
  if (process_ >= 0) close(process_);
}

void EndingWatch::Follow(int pid) {
  if (process_ >= 0) close(process_);
  process_ = -1;
  pid_ = pid;
  if (pid == 0 || pid == getpid()) return;
  was_populated_ = true;
  process_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
}

bool EndingWatch::HasEnded() {
  if (target_.pid == getpid()) return false;
  if (process_ >= 0) {
    pollfd ready{process_, POLLIN, 0};
    if (poll(&ready, 1, 0) == 0) return false;
  } else if (pid_ != 0 && access(("/proc/" + std::to_string(pid_)).c_str(), F_OK) == 0) {
    return false;
  }
  if (target_.pid != 0) return true;
  if (access(target_.cgroup.directory, F_OK) != 0) return true;
  const int next = AnyProcessBelow(target_.cgroup.directory);
  if (next == 0) return was_populated_;
  if (next != pid_) Follow(next);
  return false;
}

std::string EndingWatch::KernelCounters(const MonitorSample& before, const MonitorSample& after) const {
  if (!before.Knows(kOomKills) || !after.Knows(kOomKills) || after.values[kOomKills] <= before.values[kOomKills])
    return "";
  return "OOM kill (oom_kill went from " + std::to_string(before.values[kOomKills]) + " to " +
         std::to_string(after.values[kOomKills]) + ")";
}

std::string EndingWatch::ExitOfProcess() const {
  if (target_.pid == 0) return "";
  // Between death and burial by the parent there may be no place that tells.
  for (int tries = 0; tries < 20; ++tries) {
    int status = 0;
    if (ZombieStatus(target_.pid, &status)) return StatusText(status);
    PidfdInfo info{};
    info.mask = kInfoExit;
    if (process_ >= 0 && ioctl(process_, _IOWR(0xFF, 11, PidfdInfo), &info) == 0 && (info.mask & kInfoExit) != 0)
      return StatusText(info.exit_code);
    rt::SleepNanoseconds(5000000);
  }
  return "";
}

bool EndingWatch::KernelLogNamesProcess() const {
  if (target_.pid == 0) return false;
  constexpr int kReadAll = 3, kBufferSize = 10;  // syslog(2)
  const int bytes = klogctl(kBufferSize, nullptr, 0);
  if (bytes <= 0) return false;
  std::string log(static_cast<size_t>(bytes), '\0');
  const int got = klogctl(kReadAll, log.data(), bytes);
  if (got <= 0) return false;
  log.resize(static_cast<size_t>(got));
  const std::string mark = "Killed process " + std::to_string(target_.pid) + " (";
  const size_t at = log.rfind(mark);
  if (at == std::string::npos) return false;
  // An older process may have had this number. "<3>[12345.678901] ..."
  const size_t stamp = log.rfind('[', at);
  const size_t line = log.rfind('\n', at);
  const bool stamped = stamp != std::string::npos && (line == std::string::npos || stamp > line);
  return stamped && strtod(log.c_str() + stamp + 1, nullptr) >= begin_uptime_s_ - 1;
}

std::string EndingWatch::Why(const MonitorSample& before, const MonitorSample& after) const {
  std::vector<std::string> facts;
  if (const std::string fact = KernelCounters(before, after); !fact.empty()) facts.push_back(fact);
  if (facts.empty() && KernelLogNamesProcess()) facts.emplace_back("OOM kill (the kernel's log names it)");
  if (const std::string fact = ExitOfProcess(); !fact.empty()) facts.push_back(fact);
  if (const std::string fact = RuntimeState(target_); !fact.empty()) facts.push_back(fact);
  if (facts.empty() && target_.pid == 0 && access(target_.cgroup.directory, F_OK) == 0) return "no process is left";
  if (facts.empty()) return "it is gone; nothing tells why";
  std::string text;
  for (const std::string& fact : facts) text += (text.empty() ? "" : ", ") + fact;
  return text;
}

SnapshotWatch::~SnapshotWatch() {
  for (const auto& [pid, recording] : recordings_) {
    if (recording.fd >= 0) close(recording.fd);
  }
}

// Through /proc/PID/map_files, which leads to the very file that is mapped, whatever the target has made of its paths;
// without the right to that, by its path.
void SnapshotWatch::Look(int pid) {
  Recording& found = recordings_.try_emplace(pid, Recording{-1, 0, 0}).first->second;
  const std::string proc = "/proc/" + std::to_string(pid);
  std::ifstream maps(proc + "/maps");
  for (std::string line; found.fd < 0 && std::getline(maps, line);) {
    if (line.find(" rw-s ") == std::string::npos || !line.ends_with(".rec")) continue;
    constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    int fd = open((proc + "/map_files/" + line.substr(0, line.find(' '))).c_str(), kFlags);
    if (fd < 0) fd = open((proc + "/root" + line.substr(line.find('/'))).c_str(), kFlags | O_NOFOLLOW);
    struct stat status {};
    format::Header header{};
    const bool usable = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                        pread(fd, &header, sizeof(header), 0) == static_cast<ssize_t>(sizeof(header)) &&
                        memcmp(header.magic, format::kMagic, sizeof(header.magic)) == 0 &&
                        header.version == format::kVersion;
    if (usable) found = {fd, header.snapshots_taken, header.snapshots_taken};
    if (!usable && fd >= 0) close(fd);
  }
}

uint64_t SnapshotWatch::Count(const MonitorTarget& target) {
  std::vector<int> pids = ProcessesIn(target.cgroup.directory);
  if (target.kind == TargetKind::kProcess && target.pid != getpid()) pids = {target.pid};
  constexpr size_t kMost = 256;
  for (const int pid : pids) {
    // A process that is new here is looked at twice: the first time it may still be in the loader.
    const auto known = recordings_.find(pid);
    if (known == recordings_.end() ? recordings_.size() < kMost : known->second.fd < 0) Look(pid);
  }
  uint64_t count = 0;
  bool any = false;
  for (auto& [pid, recording] : recordings_) {
    if (recording.fd < 0) continue;
    any = true;
    format::Header header{};
    if (pread(recording.fd, &header, sizeof(header), 0) == static_cast<ssize_t>(sizeof(header)))
      recording.last = header.snapshots_taken;
    count += recording.last - recording.first;
  }
  return any ? count : kUnknown;
}

}  // namespace memtrace::injector
