#include "injector/collect/collect.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "injector/collect/elf_file.h"
#include "injector/collect/named_modules.h"
#include "injector/collect/source.h"
#include "injector/collect/tar_stream.h"
#include "injector/container_root.h"
#include "injector/monitor/target.h"
#include "injector/process_memory.h"
#include "injector/take_snapshot.h"

namespace memtrace::injector {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostRecordingBytes = uint64_t{16} << 30;  // in all
constexpr uint64_t kMostBinaryBytes = uint64_t{2} << 30;      // each
constexpr uint64_t kAllBinaryBytes = uint64_t{16} << 30;      // read in all, whether kept or not
constexpr uint64_t kMostDocumentBytes = 64 << 20;
constexpr const char* kDefaultDirectory = "/tmp/memtrace";

bool IsRecordingName(const std::string& name) {
  return (name.ends_with(".rec") || name.ends_with(".snap")) && name[0] != '.' && name.find('/') == std::string::npos;
}

// 0 or an error number.
int WriteText(const std::string& path, const std::string& text) {
  const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.ok()) return errno;
  const ssize_t size = write(file.get(), text.data(), text.size());
  return size == static_cast<ssize_t>(text.size()) ? 0 : size < 0 ? errno : ENOSPC;
}

// Only writing ends so: what is collected has no room.
bool IsWantOfRoom(int error) { return error == ENOSPC || error == EDQUOT; }

// The value of a variable in a list of "NAME=VALUE" with any of `ends` behind each.
std::string Variable(const std::string& list, const std::string& name, const char* ends) {
  for (size_t at = list.find(name + "="); at != std::string::npos; at = list.find(name + "=", at + 1)) {
    if (at > 0 && strchr(ends, list[at - 1]) == nullptr && list[at - 1] != '\0') continue;
    const size_t begin = at + name.size() + 1;
    const size_t end = list.find_first_of(std::string(ends) + '\0', begin);
    return list.substr(begin, end == std::string::npos ? end : end - begin);
  }
  return "";
}

class Collection {
 public:
  Collection(const CollectOrder& order, CollectOutcome* outcome) : order_(order), outcome_(*outcome) {}

  bool Run() {
    if (!FindTheTarget() || !MakeDirectories()) return false;
    Documents();
    Cgroup();
    KernelLog();
    Recordings();
    Binaries();
    std::string manifest;
    for (const std::string& line : outcome_.lines) manifest += line + "\n";
    Put("collected.txt", manifest);
    if (want_of_room_ == 0) return true;
    return Fail("cannot write all of " + order_.directory + ": " + strerror(want_of_room_) +
                "; remove it, and name a directory with more room");
  }

 private:
  void Note(const std::string& line) { outcome_.lines.push_back(line); }
  bool Fail(const std::string& message) {
    outcome_.message = message;
    return false;
  }
  std::string Place(const std::string& part) const { return order_.directory + "/" + part; }
  // Whether it is there. Want of room fails the whole: nobody may take a part of it for all.
  bool Wrote(int error) {
    if (IsWantOfRoom(error)) want_of_room_ = error;
    return error == 0;
  }
  bool Put(const std::string& part, const std::string& text) { return Wrote(WriteText(Place(part), text)); }

  bool FindTheTarget() {
    target_ = FindTarget(order_.target);
    if (target_.pid > 0 && target_.kind != TargetKind::kCgroup &&
        access(("/proc/" + std::to_string(target_.pid)).c_str(), F_OK) == 0) {
      container_ = ContainerIdIn(ReadProcFile("/proc/" + std::to_string(target_.pid) + "/cgroup"));
      if (target_.kind == TargetKind::kContainer) container_ = order_.target;
    } else if (target_.kind == TargetKind::kContainer) {
      container_ = order_.target;
      target_.pid = 0;
    } else {
      return Fail(target_.message.empty() ? order_.target + " is a cgroup: name a process or a container"
                                          : target_.message);
    }
    for (const char* runtime : {"docker", "podman"}) {
      if (container_.empty() || container_[0] == '-' || !inspect_.empty()) break;
      if (ReadOutput({runtime, "inspect", "--type=container", "--", container_}, kMostDocumentBytes, &inspect_)) {
        runtime_ = runtime;
      } else {
        inspect_.clear();
      }
    }
    if (target_.pid == 0 && runtime_.empty())
      return Fail(target_.message + "; start docker or podman, or name a process");
    // The runtime's documents are worth having without the rest.
    const std::string refusal = Refusal();
    return refusal.empty() || !runtime_.empty() ? true : Fail(refusal);
  }

  // Why the files of the running target may not be read; empty if they may.
  std::string Refusal() const {
    const std::string number = std::to_string(target_.pid);
    if (target_.pid == 0 || access(("/proc/" + number + "/root/").c_str(), X_OK) == 0 || errno != EACCES) return "";
    return "process " + number + " may not be read: " + strerror(errno) +
           "; run as its user or as root (in a container: with CAP_SYS_PTRACE)";
  }

  bool MakeDirectories() {
    std::error_code error;
    if (fs::exists(order_.directory, error) && !fs::is_empty(order_.directory, error)) {
      return Fail(order_.directory + " is not an empty directory: name another");
    }
    for (const char* part : {"", "recordings", "binaries/.build-id", "evidence/cgroup"}) {
      fs::create_directories(Place(part), error);
      if (error) return Fail("cannot make " + Place(part) + ": " + error.message() + "; name another directory");
    }
    chmod(order_.directory.c_str(), 0700);  // recordings hold addresses and command lines
    return true;
  }

  void Documents() {
    if (runtime_.empty()) {
      Note(container_.empty() ? "inspect, events: the process is in no container"
                              : "inspect, events: neither docker nor podman knows the container");
      return;
    }
    Put("evidence/inspect.json", inspect_);
    std::string events;
    // Without an end it would wait for more. Events of this very second belong to it: docker takes fractions.
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    char until[64];
    snprintf(until, sizeof(until), "--until=%lld.%09ld", static_cast<long long>(now.tv_sec), now.tv_nsec);
    std::vector<std::string> command = {runtime_,
                                        "events",
                                        "--since=0",
                                        "--filter",
                                        "container=" + container_,
                                        "--format={{json .}}",
                                        runtime_ == "podman" ? "--stream=false" : until};
    const bool ok = ReadOutput(command, kMostDocumentBytes, &events);
    if (ok) Put("evidence/events.jsonl", events);
    Note(std::string("inspect: ") + runtime_);
    Note(ok ? "events: " + runtime_ : "events: " + runtime_ + " gave none");
  }

  void Cgroup() {
    const std::string directory = target_.cgroup.directory;
    DIR* listing = target_.cgroup.version != 0 ? opendir(directory.c_str()) : nullptr;
    if (listing == nullptr) {
      Note("cgroup: gone, or not visible from here");
      return;
    }
    int count = 0;
    while (const dirent* entry = readdir(listing)) {
      const std::string name = entry->d_name;
      constexpr const char* kFamilies[] = {"memory.", "pids.", "cgroup."};
      if (std::none_of(std::begin(kFamilies), std::end(kFamilies),
                       [&](const char* f) { return name.starts_with(f); })) {
        continue;
      }
      const std::string text = ReadProcFile(directory + "/" + name);
      if (!text.empty() && Put("evidence/cgroup/" + name, text)) ++count;
    }
    closedir(listing);
    Note("cgroup: " + std::to_string(count) + " files of " + Printable(directory));
  }

  void KernelLog() {
    constexpr int kReadAll = 3, kSize = 10;
    const int size = klogctl(kSize, nullptr, 0);
    std::string log(size > 0 ? static_cast<size_t>(size) : 0, '\0');
    const int got = size > 0 ? klogctl(kReadAll, log.data(), size) : -1;
    if (got < 0) {
      Note(std::string("kernel log: ") + strerror(errno) + "; run as root");
      return;
    }
    log.resize(static_cast<size_t>(got));
    Put("evidence/kernel.log", log);
    Note("kernel log: " + std::to_string(std::count(log.begin(), log.end(), '\n')) + " lines");
  }

  // As the program was told, which may be wrong; the default; and what stands in for both where they cannot be written.
  std::vector<std::string> Directories() const {
    if (!order_.recordings.empty()) return {order_.recordings};
    std::vector<std::string> directories = {kDefaultDirectory};
    std::string set;
    if (target_.pid > 0)
      set = Variable(ReadProcFile("/proc/" + std::to_string(target_.pid) + "/environ"), "MEMTRACE_DIR", "");
    if (set.empty()) set = Variable(inspect_, "MEMTRACE_DIR", "\"");
    if (set.starts_with('/') && set != kDefaultDirectory) directories.insert(directories.begin(), set);
    const std::string user = target_.pid > 0 ? StatusField(target_.pid, "Uid:") : "";
    for (size_t i = 0, count = directories.size(); i < count && !user.empty(); ++i) {
      directories.push_back(directories[i] + "-" + user);
    }
    return directories;
  }

  // As the process itself has it.
  std::string OwnPid() const {
    const std::string status = ReadProcFile("/proc/" + std::to_string(target_.pid) + "/status");
    const size_t at = status.find("\nNSpid:");
    const std::string line = at == std::string::npos ? "" : status.substr(at + 1, status.find('\n', at + 1) - at - 1);
    return line.empty() ? std::to_string(target_.pid) : line.substr(line.find_last_of(" \t") + 1);
  }

  void Recordings() {
    const std::string to = Place("recordings");
    int count = 0;
    std::string frozen;  // name of the recording that the snapshot stands for
    if (target_.pid > 0) {
      // Of what still runs a snapshot: its recording changes while it is copied, and would look like one of a killed
      // process elsewhere.
      const SnapshotOutcome snapshot = TakeSnapshotOf({std::to_string(target_.pid), to});
      if (snapshot.taken) {
        ++count;
        constexpr size_t kEndingBytes = sizeof(".0001.snap") - 1;
        frozen = snapshot.path.substr(snapshot.path.rfind('/') + 1);
        frozen.replace(frozen.size() - kEndingBytes, kEndingBytes, ".rec");
        Note("recordings: a snapshot, " + Printable(snapshot.path));
      }
      source_ = SourceOfProcess(target_.pid);
    } else {
      source_ = SourceOfContainer(runtime_, container_);
    }
    // Of a process that is in no container, only its own: its directory is that of the whole machine.
    const std::string own = "." + OwnPid() + ".";
    const auto wants = [&](const std::string& name) {
      return IsRecordingName(name) && name != frozen && (!container_.empty() || name.find(own) != std::string::npos);
    };
    for (const std::string& directory : Directories()) {
      const Copied copied = source_->CopyFiles(directory, wants, to, kMostRecordingBytes);
      if (copied.count > 0) Note("recordings: " + std::to_string(copied.count) + " files of " + Printable(directory));
      if (!Wrote(copied.error)) Note("recordings: not all of " + Printable(directory) + ": " + strerror(copied.error));
      count += copied.count;
    }
    if (const std::string refusal = Refusal(); count == 0 && !refusal.empty()) {
      Note("recordings: " + refusal);
    } else if (count == 0) {
      Note("recordings: none in " + Printable(Directories()[0]) +
           "; if the program keeps them elsewhere, name the place "
           "with --recordings");
    }
  }

  // Copies one file if it has the build-id that it should have.
  bool CopyBinary(const std::string& path, const std::string& build_id, const char* ending, ElfFacts* facts) {
    const std::string directory = Place("binaries/.build-id/") + build_id.substr(0, 2);
    const std::string to = directory + "/" + build_id.substr(2) + ending;
    mkdir(directory.c_str(), 0700);
    const int error = source_->CopyFile(path, to, std::min(kMostBinaryBytes, binary_bytes_left_));
    Wrote(error);
    const Descriptor copied(open(to.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat status {};
    if (copied.ok() && fstat(copied.get(), &status) == 0)
      binary_bytes_left_ -= std::min(binary_bytes_left_, static_cast<uint64_t>(status.st_size));
    if (error != 0) {
      unlink(to.c_str());
      return false;
    }
    *facts = ReadElfFacts(copied.get());
    if (facts->build_id == build_id) return true;
    unlink(to.c_str());
    return false;
  }

  void CopyDebugFile(const std::string& path, const std::string& build_id, const std::string& link) {
    const std::string directory = path.substr(0, path.rfind('/'));
    std::vector<std::string> places = {"/usr/lib/debug/.build-id/" + build_id.substr(0, 2) + "/" + build_id.substr(2) +
                                       ".debug"};
    if (!link.empty()) {
      for (const std::string& where : {directory, directory + "/.debug", "/usr/lib/debug" + directory}) {
        places.push_back(where + "/" + link);
      }
    }
    ElfFacts facts;
    for (const std::string& place : places) {
      if (CopyBinary(place, build_id, ".debug", &facts)) return;
    }
  }

  void Binaries() {
    std::map<std::string, std::string> modules;
    std::error_code error;
    int foreign = 0;
    for (const auto& entry : fs::directory_iterator(Place("recordings"), error)) {
      if (!AddNamedModules(entry.path().string(), &modules)) ++foreign;
    }
    if (foreign > 0) Note("recordings: " + std::to_string(foreign) + " of another version, or none at all");
    size_t copied = 0;
    for (const auto& [build_id, path] : modules) {
      ElfFacts facts;
      if (CopyBinary(path, build_id, "", &facts)) {
        ++copied;
        CopyDebugFile(path, build_id, facts.debug_link);
      } else if (path != "[vdso]") {
        Note("not found: " + Printable(path) + " with build-id " + build_id);
      }
    }
    if (!modules.empty()) Note("binaries: " + std::to_string(copied) + " of " + std::to_string(modules.size()));
  }

  const CollectOrder& order_;
  CollectOutcome& outcome_;
  MonitorTarget target_;
  std::string container_;  // name or id; empty: none
  std::string runtime_;    // the program that knows it; empty: none
  std::string inspect_;
  std::unique_ptr<Source> source_;
  uint64_t binary_bytes_left_ = kAllBinaryBytes;
  int want_of_room_ = 0;  // an error number
};

}  // namespace

CollectOutcome Collect(const CollectOrder& order) {
  CollectOutcome outcome;
  outcome.done = Collection(order, &outcome).Run();
  return outcome;
}

}  // namespace memtrace::injector
