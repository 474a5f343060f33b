#include "injector/doctor/doctor.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "injector/container_root.h"
#include "injector/launch.h"
#include "injector/process_memory.h"

namespace memtrace::injector {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kMostCharacters = 8192;  // of one finding; it may name two paths
constexpr uint64_t kAtSecure = 23;

bool IsProcessId(const std::string& text) {
  return !text.empty() && text.size() <= 10 && text.find_first_not_of("0123456789") == std::string::npos;
}

std::vector<std::string> ReadVariables(const std::string& path) {
  std::vector<std::string> variables;
  std::ifstream file(path, std::ios::binary);
  for (std::string entry; variables.size() < 10000 && std::getline(file, entry, '\0');) variables.push_back(entry);
  return variables;
}

// Whether the process was started with raised privileges; unknown counts as no.
bool IsSecure(const std::string& proc) {
  std::ifstream file(proc + "/auxv", std::ios::binary);
  uint64_t pair[2];
  while (file.read(reinterpret_cast<char*>(pair), sizeof(pair))) {
    if (pair[0] == kAtSecure) return pair[1] != 0;
  }
  return false;
}

// What of ours the process has mapped: its recording, or only the library.
struct Mapped {
  bool library = false;
  std::string recording;
};
Mapped FindMapped(const std::string& proc) {
  Mapped mapped;
  std::ifstream maps(proc + "/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t slash = line.find('/');
    if (slash == std::string::npos) continue;
    const std::string path = line.substr(slash);
    mapped.library |= path.ends_with("/libmemtrace.so");
    if (line.find(" rw-s ") != std::string::npos && path.ends_with(".rec")) mapped.recording = path;
  }
  return mapped;
}

void Judge(const std::string& subject, Diagnosis* diagnosis) {
  const auto is_obstacle = [](const Finding& finding) { return finding.grade == Grade::kObstacle; };
  const bool blind = std::any_of(diagnosis->findings.begin(), diagnosis->findings.end(), is_obstacle);
  diagnosis->status = blind ? kDoctorBlind : kDoctorSees;
  diagnosis->subject = subject;
  if (diagnosis->verdict.empty()) diagnosis->verdict = blind ? "cannot be recorded" : "can be recorded";
}

void ExamineSurroundings(const DoctorOrder& order, const DoctorSubject& subject, std::vector<Finding>* findings) {
  ExaminePreload(order.library, subject, findings);
  ExamineDirectory(subject, findings);
  ExamineSignal(subject, findings);
  ExamineRights(subject, findings);
  ExamineLimits(subject, findings);
  ExamineCgroup(subject, findings);
}

Diagnosis ExamineProcess(const DoctorOrder& order) {
  Diagnosis diagnosis;
  DoctorSubject subject{"/proc/" + order.target, "/proc/" + order.target + "/root", {}, true};
  char exe[4096];
  const ssize_t size = readlink((subject.proc + "/exe").c_str(), exe, sizeof(exe));
  if (size <= 0) {
    diagnosis.verdict = errno == ENOENT && access(subject.proc.c_str(), F_OK) != 0 ? NoSuchProcess(order.target)
                        : errno == ENOENT ? "process " + order.target + " is one of the kernel, or has ended"
                                          : "process " + order.target + " may not be looked at: " + strerror(errno) +
                                                "; run as its user or as root (in a container: with CAP_SYS_PTRACE)";
    return diagnosis;
  }
  subject.environment = ReadVariables(subject.proc + "/environ");
  const Mapped mapped = FindMapped(subject.proc);
  // The file itself, also if it was replaced or lies in another mount namespace.
  ExamineExecutable(subject.proc + "/exe", subject, &diagnosis.findings);
  if (IsSecure(subject.proc)) {
    diagnosis.findings.push_back({Grade::kObstacle,
                                  "it was started with raised privileges: the loader ignored LD_PRELOAD",
                                  "Start it as the user whose rights it takes on."});
  }
  ExamineSurroundings(order, subject, &diagnosis.findings);
  if (!mapped.recording.empty()) {
    diagnosis.findings.insert(diagnosis.findings.begin(), {Grade::kFine, "it is recorded: " + mapped.recording, ""});
    diagnosis.verdict = "is recorded";
  } else if (mapped.library) {
    diagnosis.findings.push_back({Grade::kNote, "the library is loaded, but there is no recording",
                                  "Its standard error said why when it started; MEMTRACE_ONLY, MEMTRACE_SKIP and "
                                  "MEMTRACE_FOLLOW may have left it out."});
  } else {
    diagnosis.findings.push_back(
        {Grade::kNote, "the library is not loaded into this process",
         "Start it with `memtrace run`, or load it now with `memtrace attach " + order.target + "`."});
  }
  Judge("process " + order.target + " (" + std::string(exe, static_cast<size_t>(size)) + ")", &diagnosis);
  if (diagnosis.verdict == "is recorded" && diagnosis.status == kDoctorBlind)
    diagnosis.verdict = "is recorded, but not seen";
  return diagnosis;
}

Diagnosis ExamineProgram(const DoctorOrder& order) {
  Diagnosis diagnosis;
  const FoundProgram found = FindProgram(order.target, getenv("PATH"));
  if (found.path.empty()) {
    diagnosis.verdict = order.target + ": " + strerror(found.error);
    return diagnosis;
  }
  DoctorSubject subject{"/proc/self", "", {}, false};
  for (const char* const* entry = order.environment; entry != nullptr && *entry != nullptr; ++entry) {
    subject.environment.emplace_back(*entry);
  }
  ExamineExecutable(found.path, subject, &diagnosis.findings);
  ExamineSurroundings(order, subject, &diagnosis.findings);
  Judge(found.path, &diagnosis);
  return diagnosis;
}

// Words of `text` in lines that begin with `first`, later ones with as many blanks.
void AddWrapped(const std::string& first, const std::string& text, std::string* out) {
  std::istringstream words(Printable(text, kMostCharacters));
  std::string line = first;
  bool empty = true;
  for (std::string word; words >> word; empty = false) {
    if (!empty && line.size() + 1 + word.size() > kColumns) {
      *out += line + "\n";
      line.assign(first.size(), ' ');
      empty = true;
    }
    if (!empty) line += ' ';
    line += word;
  }
  *out += line + "\n";
}

}  // namespace

std::string DoctorSubject::Variable(const std::string& name) const {
  for (const std::string& entry : environment) {
    if (entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name))
      return entry.substr(name.size() + 1);
  }
  return "";
}

Diagnosis Examine(const DoctorOrder& order) {
  return IsProcessId(order.target) ? ExamineProcess(order) : ExamineProgram(order);
}

std::string Describe(const Diagnosis& diagnosis) {
  std::string text;
  AddWrapped("", diagnosis.subject + " " + diagnosis.verdict + ".", &text);
  for (const Grade grade : {Grade::kObstacle, Grade::kNote, Grade::kFine}) {
    const char* mark = grade == Grade::kObstacle ? "  no    " : grade == Grade::kNote ? "  note  " : "  ok    ";
    for (const Finding& finding : diagnosis.findings) {
      if (finding.grade != grade) continue;
      AddWrapped(mark, finding.what, &text);
      if (!finding.advice.empty()) AddWrapped("        ", finding.advice, &text);
    }
  }
  return text;
}

}  // namespace memtrace::injector
