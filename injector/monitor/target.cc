#include "injector/monitor/target.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>

#include "injector/descriptor.h"
#include "injector/process_memory.h"

namespace memtrace::injector {
namespace {

constexpr size_t kIdDigits = 64;
constexpr size_t kFewestIdDigits = 12;  // as `docker ps` shows it
constexpr const char* kUsageFile[] = {nullptr, "/memory.usage_in_bytes", "/memory.current"};
constexpr const char* kLimitFile[] = {nullptr, "/memory.limit_in_bytes", "/memory.max"};
constexpr uint64_t kNoLimit = uint64_t{1} << 60;  // version 1 says none by a number near 2^63

bool IsNumber(const std::string& text) {
  return !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
}

bool IsHex(const std::string& text) { return text.find_first_not_of("0123456789abcdef") == std::string::npos; }

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

void Store(const std::string& text, char (&field)[rt::kCgroupPathBytes]) {
  rt::TextBuilder(field, sizeof(field)).Add(rt::Text(text.data(), text.size()));
}

MonitorTarget Failed(MonitorTarget target, std::string message) {
  target.message = std::move(message);
  return target;
}

MonitorTarget OfProcess(MonitorTarget target) {
  const std::string proc = "/proc/" + (target.pid == 0 ? std::string("self") : std::to_string(target.pid));
  if (target.pid == 0) target.pid = getpid();
  if (!Exists(proc)) return Failed(target, NoSuchProcess(std::to_string(target.pid)));
  if (rt::FindCgroup(proc.c_str(), "", &target.cgroup)) return target;
  return Failed(target, target.cgroup.version == 0
                            ? "process " + std::to_string(target.pid) + " is in no memory cgroup"
                            : "no mount shows the memory cgroup " + std::string(target.cgroup.path));
}

std::optional<uint64_t> LimitOf(const std::string& directory, int version) {
  std::ifstream file(directory + kLimitFile[version]);
  uint64_t limit = 0;
  if (file >> limit && limit < kNoLimit) return limit;
  return std::nullopt;
}

// A directory of a cgroup file system, whose levels above are looked at for a smaller limit.
MonitorTarget OfDirectory(MonitorTarget target, const std::string& directory) {
  rt::Cgroup& cgroup = target.cgroup;
  cgroup.version = Exists(directory + kUsageFile[2]) ? 2 : 1;
  if (directory.size() >= rt::kCgroupPathBytes) return Failed(target, "the path is too long: " + directory);
  Store(directory, cgroup.directory);
  Store(directory, cgroup.limit_directory);
  std::string pids = directory;
  if (const size_t at = pids.find("/memory/"); cgroup.version == 1 && at != std::string::npos)
    pids.replace(at, 8, "/pids/");
  Store(pids, cgroup.pids_directory);
  Store(directory, cgroup.path);
  std::string level = directory;
  while (Exists(level + "/cgroup.procs")) {
    if (const auto limit = LimitOf(level, cgroup.version); limit && *limit < cgroup.limit_bytes) {
      cgroup.limit_bytes = *limit;
      Store(level, cgroup.limit_directory);
    }
    level.resize(level.rfind('/'));
  }
  target.kind = TargetKind::kCgroup;
  return target;
}

// `name` itself, or below where the memory controller is mounted.
std::string CgroupDirectory(const std::string& name) {
  char resolved[PATH_MAX];
  for (const char* prefix : {"", "/sys/fs/cgroup/memory", "/sys/fs/cgroup"}) {
    const std::string candidate = prefix + (*prefix != '\0' && name[0] != '/' ? "/" + name : name);
    if (realpath(candidate.c_str(), resolved) == nullptr) continue;
    if (Exists(std::string(resolved) + kUsageFile[1]) || Exists(std::string(resolved) + kUsageFile[2])) return resolved;
  }
  return "";
}

// The first process, by number, in a cgroup whose path names the container with this id.
int FirstProcessOf(const std::string& id) {
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
  int first = 0;
  while (const dirent* entry = proc ? readdir(proc.get()) : nullptr) {
    if (!IsNumber(entry->d_name)) continue;
    const int pid = atoi(entry->d_name);
    std::ifstream lines(std::string("/proc/") + entry->d_name + "/cgroup");
    for (std::string line; std::getline(lines, line);) {
      if (ContainerIdIn(line).starts_with(id) && (first == 0 || pid < first)) first = pid;
    }
  }
  return first;
}

MonitorTarget OfContainer(MonitorTarget target) {
  target.kind = TargetKind::kContainer;
  const bool may_be_id = target.name.size() >= kFewestIdDigits && IsHex(target.name);
  if (may_be_id) target.pid = FirstProcessOf(target.name);
  bool known = false;
  std::string trouble;  // of a runtime that is there, but not for us
  for (const char* runtime : {"docker", "podman"}) {
    if (target.pid != 0) break;
    const char* const command[] = {
        runtime, "inspect", "--type=container", "--format={{.State.Pid}}", "--", target.name.c_str(), nullptr};
    std::string errors;
    const std::string pid = OutputOf(command, &errors);
    known |= IsNumber(pid);
    // "No such container", "no such container": the answer of one that is asked.
    if (!errors.empty() && errors.find("o such ") == std::string::npos)
      trouble += std::string("; ") + runtime + " says: " + errors;
    if (!IsNumber(pid) || pid == "0") continue;
    target.pid = atoi(pid.c_str());
    target.runtime = runtime;
  }
  if (known && target.pid == 0) {
    return Failed(target, "the container " + target.name + " is not running; `memtrace collect " + target.name +
                              " -o DIR` gets what it has left");
  }
  if (target.pid == 0) {
    return Failed(target, "there is no process, cgroup or running container `" + target.name +
                              "` (asked /proc, docker and podman): `docker ps -a` and `podman ps -a` list containers" +
                              trouble);
  }
  return OfProcess(target);
}

}  // namespace

std::string ContainerIdIn(const std::string& cgroup_path) {
  std::string id;
  size_t digits = 0;
  for (size_t i = 0; i <= cgroup_path.size(); ++i) {
    if (i < cgroup_path.size() && strchr("0123456789abcdef", cgroup_path[i]) != nullptr) {
      ++digits;
      continue;
    }
    if (digits == kIdDigits) id = cgroup_path.substr(i - kIdDigits, kIdDigits);
    digits = 0;
  }
  return id;
}

std::string OutputOf(const char* const* command, std::string* errors) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "";
  const Descriptor complaints(memfd_create("errors", MFD_CLOEXEC));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  if (complaints.ok()) {
    posix_spawn_file_actions_adddup2(&actions, complaints.get(), STDERR_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  pid_t child = 0;
  const int failure = posix_spawnp(&child, command[0], &actions, nullptr, const_cast<char**>(command), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string output;
  char buffer[512];
  constexpr size_t kMost = 4096;
  for (ssize_t got; failure == 0 && output.size() < kMost && (got = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    output.append(buffer, static_cast<size_t>(got));
  }
  close(ends[0]);
  int status = 1;
  if (failure == 0) {
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  }
  if (errors != nullptr) {
    char text[256];
    const ssize_t size = pread(complaints.get(), text, sizeof(text), 0);
    errors->assign(text, static_cast<size_t>(std::max<ssize_t>(size, 0)));
    errors->resize(std::min(errors->size(), errors->find('\n')));
  }
  if (status != 0) return "";
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

MonitorTarget FindTarget(const std::string& name) {
  MonitorTarget target;
  target.name = name;
  if (name.empty()) return OfProcess(target);
  if (IsNumber(name)) {
    target.pid = atoi(name.c_str());
    if (target.pid == 0) return Failed(target, NoSuchProcess("0"));
    return OfProcess(target);
  }
  if (const std::string directory = CgroupDirectory(name); !directory.empty()) return OfDirectory(target, directory);
  if (name.find('/') != std::string::npos)
    return Failed(target, "there is no memory cgroup " + name + "; /proc/PID/cgroup names that of a process");
  return OfContainer(target);
}

}  // namespace memtrace::injector
