// What the file of a program says.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>

#include "injector/doctor/doctor.h"
#include "injector/doctor/symbols.h"
#include "injector/elf_probe.h"

namespace memtrace::injector {
namespace {

constexpr std::string_view kAllocatorLibraries[] = {"libjemalloc", "libtcmalloc", "libmimalloc", "libsnmalloc",
                                                    "librpmalloc"};

struct Loader {
  std::string_view part;  // of its path
  const char* libc;
  bool works;
};
constexpr std::array kLoaders = {Loader{"ld-linux", "glibc", true}, Loader{"ld-musl", "musl", true},
                                 Loader{"/system/bin/linker", "Android's bionic", false},
                                 Loader{"ld-uClibc", "uClibc", false}};

const char* AdviceFor(Visibility visibility) {
  switch (visibility) {
    case Visibility::kStatic:
      return "Link it dynamically, or record it from outside: `memtrace monitor` and `memtrace collect` need no "
             "library.";
    case Visibility::kPrivileged:
      return "Start it as the user whose rights it takes on, or from a container with no-new-privileges, where the "
             "bits do "
             "not count.";
    case Visibility::kForeign:
      return "Install memtrace for that architecture beside it; the recording can be read here.";
    default:
      return "";
  }
}

bool NoNewPrivileges(const DoctorSubject& subject) {
  std::ifstream status(subject.proc + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("NoNewPrivs:")) return line.find('1') != std::string::npos;
  }
  return false;
}

void ExamineLoader(const Probe& probe, const DoctorSubject& subject, std::vector<Finding>* findings) {
  const auto* known = std::find_if(kLoaders.begin(), kLoaders.end(), [&probe](const Loader& loader) {
    return probe.loader.find(loader.part) != std::string::npos;
  });
  if (access((subject.root + probe.loader).c_str(), F_OK) != 0) {
    findings->push_back({Grade::kObstacle, "its loader is missing here: " + probe.loader,
                         "It is a program for another libc or distribution; ask inside its container."});
  } else if (known == kLoaders.end()) {
    findings->push_back(
        {Grade::kNote, "its loader is unknown: " + probe.loader + "; glibc and musl are supported", ""});
  } else if (!known->works) {
    findings->push_back(
        {Grade::kObstacle, std::string("it is a program of ") + known->libc + "; glibc and musl are supported", ""});
  } else {
    findings->push_back(
        {Grade::kFine, std::string("it is dynamic, for ") + known->libc + " (" + probe.loader + ")", ""});
  }
}

void ExamineSymbols(const std::string& path, std::vector<Finding>* findings) {
  const ProgramSymbols symbols = ReadProgramSymbols(path);
  if (symbols.exports_malloc) {
    findings->push_back(
        {Grade::kObstacle,
         "it brings its own malloc, which the loader finds before that of a preloaded library: its calls "
         "pass by",
         "Link the allocator as a shared library instead, or build without it."});
  } else if (!symbols.hidden_allocator.empty()) {
    findings->push_back({Grade::kNote,
                         "it has an allocator of its own inside (" + symbols.hidden_allocator +
                             "); what the program takes from that is not seen, what its libraries take from "
                             "libc is",
                         "Link the allocator as a shared library instead."});
  }
  if (symbols.is_go) {
    findings->push_back({Grade::kNote,
                         "it is a Go program: the Go heap is mapped by its runtime and not seen, what C code takes is",
                         "For the Go heap use pprof; the report counts it as a managed heap."});
  }
  for (const std::string& needed : symbols.needed) {
    for (const std::string_view allocator : kAllocatorLibraries) {
      if (needed.starts_with(allocator))
        findings->push_back({Grade::kFine, "its allocator, " + needed + ", is supported", ""});
    }
  }
}

}  // namespace

void ExamineExecutable(const std::string& path, const DoctorSubject& subject, std::vector<Finding>* findings) {
  Probe probe = ProbeProgram(path);
  if (probe.visibility == Visibility::kNotElf && !subject.runs) probe = ProbeProgram("/bin/sh");  // as execvp does
  if (probe.file != path && !subject.runs) {
    findings->push_back({Grade::kNote, "it is a script: what counts is its interpreter, " + probe.file, ""});
  }
  switch (probe.visibility) {
    case Visibility::kUnreadable:
    case Visibility::kNotElf:
      findings->push_back({Grade::kObstacle, probe.file + " cannot be read, or is no program", ""});
      return;
    case Visibility::kPrivileged:
      if (!subject.runs && !NoNewPrivileges(subject)) {
        findings->push_back({Grade::kObstacle, Explain(probe), AdviceFor(probe.visibility)});
      }
      break;
    case Visibility::kStatic:
    case Visibility::kForeign:
      findings->push_back({Grade::kObstacle, Explain(probe), AdviceFor(probe.visibility)});
      return;
    case Visibility::kVisible:
      break;
  }
  ExamineLoader(probe, subject, findings);
  ExamineSymbols(subject.runs ? path : probe.file, findings);
}

}  // namespace memtrace::injector
