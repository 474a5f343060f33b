// What a program meets: preloaded libraries, the directory for recordings, signals, rights and limits.
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "injector/doctor/doctor.h"
#include "injector/doctor/symbols.h"
#include "libmemtrace/config/options.h"
#include "libmemtrace/rt/cgroup.h"

namespace memtrace::injector {
namespace {

constexpr uint64_t kSmallestRecording = 256 << 10;
constexpr uint64_t kDefaultRecording = 8 << 20;  // MEMTRACE_MAX unless MEMTRACE_SAMPLE=1
constexpr long kTmpfs = 0x01021994;              // TMPFS_MAGIC

std::string Size(uint64_t bytes) { return rt::TextBuffer<32>().AddSize(bytes).c_str(); }

// Of a line "Name: value" in /proc/PID/status.
std::string StatusField(const DoctorSubject& subject, const std::string& name) {
  std::ifstream status(subject.proc + "/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(name + ":")) continue;
    const size_t begin = line.find_first_not_of(" \t", name.size() + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

bool HasSignal(const DoctorSubject& subject, const std::string& field, int signal) {
  uint64_t mask = 0;
  return rt::ParseUint(StatusField(subject, field).c_str(), &mask, 16) && signal > 0 && (mask >> (signal - 1) & 1) != 0;
}

config::Options OptionsOf(const DoctorSubject& subject) {
  std::vector<const char*> entries;
  for (const std::string& entry : subject.environment) entries.push_back(entry.c_str());
  entries.push_back(nullptr);
  config::Options options;
  config::ReadOptions(entries.data(), &options, nullptr);
  return options;
}

// The user that the process runs as, or that this one does.
unsigned UserOf(const DoctorSubject& subject) {
  uint64_t uid = geteuid();
  std::istringstream words(StatusField(subject, "Uid"));
  std::string real;
  std::string effective;
  if (subject.runs && words >> real >> effective) rt::ParseUint(effective.c_str(), &uid);
  return static_cast<unsigned>(uid);
}

bool MayWrite(const struct stat& status, unsigned user) {
  if (user == 0) return true;
  if (status.st_uid == user) return (status.st_mode & S_IWUSR) != 0;
  return (status.st_mode & S_IWOTH) != 0;
}

// A soft limit of /proc/PID/limits; format::kUnknown: none, or not readable.
uint64_t SoftLimit(const DoctorSubject& subject, const std::string& name) {
  std::ifstream limits(subject.proc + "/limits");
  for (std::string line; std::getline(limits, line);) {
    if (!line.starts_with(name)) continue;
    std::istringstream words(line.substr(name.size()));
    std::string soft;
    uint64_t value = 0;
    if (words >> soft && rt::ParseUint(soft.c_str(), &value)) return value;
  }
  return format::kUnknown;
}

}  // namespace

void ExaminePreload(const std::string& library, const DoctorSubject& subject, std::vector<Finding>* findings) {
  if (library.empty()) {
    findings->push_back(
        {Grade::kNote, "there is no libmemtrace.so beside this program", "Name it in LD_PRELOAD yourself."});
  }
  std::istringstream entries(subject.Variable("LD_PRELOAD"));
  bool ours_seen = false;
  for (std::string word; entries >> word;) {
    std::istringstream parts(word);
    for (std::string entry; std::getline(parts, entry, ':');) {
      if (entry.empty()) continue;
      const bool ours = entry.ends_with("libmemtrace.so");
      ours_seen |= ours;
      const std::string path = entry[0] == '/' ? subject.root + entry : entry;
      if (entry[0] == '/' && access(path.c_str(), R_OK) != 0) {
        findings->push_back({ours ? Grade::kObstacle : Grade::kNote,
                             "LD_PRELOAD names " + entry + ", which is not there",
                             ours ? "Mount the library into the container at that path." : ""});
      } else if (!ours && ReadProgramSymbols(path).exports_malloc) {
        // `memtrace run` puts ours first; who sets LD_PRELOAD by hand must.
        const bool shadows =
            subject.runs && !ours_seen && subject.Variable("LD_PRELOAD").find("libmemtrace.so") != std::string::npos;
        findings->push_back(
            {shadows ? Grade::kObstacle : Grade::kNote,
             "LD_PRELOAD has another allocator, " + entry + (shadows ? ", before memtrace: it takes the calls" : ""),
             "libmemtrace.so must stand before it (`memtrace run` sees to that)."});
      } else if (!ours) {
        findings->push_back({Grade::kFine, "LD_PRELOAD also has " + entry + ", which stays", ""});
      }
    }
  }
}

void ExamineDirectory(const DoctorSubject& subject, std::vector<Finding>* findings) {
  const config::Options options = OptionsOf(subject);
  const std::string wanted = options.directory;
  // The nearest directory that exists: the rest will be made in it.
  std::string place = wanted;
  struct stat status {};
  while (stat((subject.root + place).c_str(), &status) != 0 && errno == ENOENT && place.size() > 1) {
    place.resize(std::max<size_t>(place.rfind('/'), 1));
  }
  const std::string visible = subject.root + place;
  const char* advice = "Set MEMTRACE_DIR to a directory that it can write, such as a mounted volume.";
  struct statvfs space {};
  if (!S_ISDIR(status.st_mode) || statvfs(visible.c_str(), &space) != 0) {
    findings->push_back(
        {Grade::kObstacle, "MEMTRACE_DIR: " + place + " is no directory that can be looked at", advice});
    return;
  }
  if ((space.f_flag & ST_RDONLY) != 0) {
    findings->push_back({Grade::kObstacle, "MEMTRACE_DIR: " + place + " is on a read-only file system", advice});
    return;
  }
  const unsigned user = UserOf(subject);
  if (!MayWrite(status, user)) {
    findings->push_back({Grade::kNote,
                         "MEMTRACE_DIR: user " + std::to_string(user) + " may not write to " + place + "; " + wanted +
                             "-" + std::to_string(user) + " is tried then",
                         advice});
  }
  const uint64_t available = uint64_t{space.f_bavail} * space.f_frsize;
  if (available < kSmallestRecording) {
    findings->push_back({Grade::kObstacle,
                         "MEMTRACE_DIR: " + Size(available) + " are free in " + place + ", too little for a recording",
                         advice});
    return;
  }
  if (available < kDefaultRecording) {
    findings->push_back({Grade::kNote,
                         "MEMTRACE_DIR: " + Size(available) + " are free in " + place + "; a full recording takes " +
                             Size(kDefaultRecording) + " and is sampled when there is less",
                         advice});
    return;
  }
  struct statfs kind {};
  if (statfs(visible.c_str(), &kind) == 0 && static_cast<long>(kind.f_type) == kTmpfs) {
    findings->push_back(
        {Grade::kNote, "recordings go to " + wanted + ", in memory: they count against the container's limit", ""});
    return;
  }
  findings->push_back({Grade::kFine, "recordings go to " + wanted + " (" + Size(available) + " free)", ""});
}

void ExamineSignal(const DoctorSubject& subject, std::vector<Finding>* findings) {
  const config::Options options = OptionsOf(subject);
  if (options.signal == 0) {
    findings->push_back(
        {Grade::kNote, "MEMTRACE_SIGNAL=none: no signal takes a snapshot", "`memtrace snapshot` works without."});
    return;
  }
  const char* name = sigabbrev_np(options.signal);
  const std::string number = name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(options.signal);
  if (subject.runs && HasSignal(subject, "SigBlk", options.signal)) {
    findings->push_back({Grade::kNote, number + " is blocked in its main thread; another thread may take it",
                         "`memtrace snapshot` needs no signal."});
  }
  if (subject.runs && HasSignal(subject, "SigCgt", options.signal)) {
    findings->push_back(
        {Grade::kFine, number + " is handled; under memtrace a handler of the program's own runs too", ""});
  } else if (HasSignal(subject, "SigIgn", options.signal)) {
    findings->push_back({Grade::kFine, number + " is ignored; under memtrace it takes snapshots all the same", ""});
  }
}

void ExamineRights(const DoctorSubject& subject, std::vector<Finding>* findings) {
  if (StatusField(subject, "Seccomp") == "2") {
    findings->push_back({Grade::kFine,
                         "a seccomp filter is in force; memtrace makes none of the calls that Docker's default profile "
                         "forbids",
                         ""});
  }
  if (StatusField(subject, "NoNewPrivs") == "1") {
    findings->push_back({Grade::kFine, "no-new-privileges is set: also set-uid programs can be recorded", ""});
  }
}

void ExamineLimits(const DoctorSubject& subject, std::vector<Finding>* findings) {
  const uint64_t file = SoftLimit(subject, "Max file size");
  if (file < kDefaultRecording) {
    findings->push_back(
        {file < kSmallestRecording ? Grade::kObstacle : Grade::kNote,
         "files may have " + Size(file) + " at most (RLIMIT_FSIZE); a full recording takes " + Size(kDefaultRecording),
         "Raise it: ulimit -f."});
  }
  const uint64_t address_space = SoftLimit(subject, "Max address space");
  if (address_space != format::kUnknown) {
    findings->push_back(
        {Grade::kNote,
         "the address space is limited to " + Size(address_space) + " (RLIMIT_AS); the recording's mapping counts",
         "Set MEMTRACE_MAX lower if that is tight."});
  }
  const uint64_t locked = SoftLimit(subject, "Max locked memory");
  if (locked < kDefaultRecording && UserOf(subject) != 0) {
    findings->push_back({Grade::kNote,
                         "only " + Size(locked) +
                             " may be locked (RLIMIT_MEMLOCK): close to the limit of memory new blocks "
                             "are sampled more coarsely",
                         "Raise it: docker run --ulimit memlock=16777216."});
  }
  if (SoftLimit(subject, "Max open files") < 4) {
    findings->push_back({Grade::kObstacle, "it may open no files (RLIMIT_NOFILE)", "Raise it: ulimit -n."});
  }
}

void ExamineCgroup(const DoctorSubject& subject, std::vector<Finding>* findings) {
  rt::Cgroup cgroup;
  rt::MemoryUse use;
  if (!rt::FindCgroup(subject.proc.c_str(), "", &cgroup)) {
    findings->push_back({Grade::kNote, "its memory cgroup is not visible from here: limits are unknown", ""});
  } else if (!rt::ReadMemoryUse(cgroup, true, &use) || use.limit_bytes == format::kUnknown) {
    findings->push_back({Grade::kNote, "no memory limit is set: no snapshot is taken by itself",
                         "Set one (docker run --memory), or take snapshots by signal."});
  } else {
    findings->push_back(
        {Grade::kFine, "memory limit " + Size(use.limit_bytes) + ", in use " + Size(use.usage_bytes), ""});
  }
}

}  // namespace memtrace::injector
