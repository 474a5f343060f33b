// `memtrace doctor`: whether the library can see a program or a running process, why (not), and what to do.
#ifndef MEMTRACE_INJECTOR_DOCTOR_DOCTOR_H_
#define MEMTRACE_INJECTOR_DOCTOR_DOCTOR_H_

#include <string>
#include <vector>

namespace memtrace::injector {

inline constexpr int kDoctorSees = 0;
inline constexpr int kDoctorBlind = 1;
inline constexpr int kDoctorUnknown = 2;  // no such program or process, or it may not be read

enum class Grade {
  kFine,
  kNote,      // recording works, something is less than it could be
  kObstacle,  // nothing, or next to nothing, would be recorded
};

struct Finding {
  Grade grade;
  std::string what;
  std::string advice;  // what to do; may be empty
};

struct DoctorOrder {
  std::string target;              // a program, searched in PATH as a shell does, or a process id
  std::string library;             // libmemtrace.so; empty: none was found beside this program
  const char* const* environment;  // of the program, where it does not run yet
};

struct Diagnosis {
  int status = kDoctorUnknown;
  std::string subject;  // what was looked at
  std::string verdict;  // one line; where the status is kDoctorUnknown, why
  std::vector<Finding> findings;
};

Diagnosis Examine(const DoctorOrder& order);

// For people: the verdict, then the findings, at most 80 columns wide where words allow.
std::string Describe(const Diagnosis& diagnosis);

// --- Parts, each of which adds what it found ---

// What a process brings along: its /proc directory ("/proc/self" for a program that inherits from here), the prefix of
// its paths ("" or "/proc/PID/root"), and its environment.
struct DoctorSubject {
  std::string proc;
  std::string root;
  std::vector<std::string> environment;
  bool runs = false;

  // Of a variable; empty if it is not set.
  std::string Variable(const std::string& name) const;
};

void ExamineExecutable(const std::string& path, const DoctorSubject& subject, std::vector<Finding>* findings);
void ExaminePreload(const std::string& library, const DoctorSubject& subject, std::vector<Finding>* findings);
void ExamineDirectory(const DoctorSubject& subject, std::vector<Finding>* findings);
void ExamineSignal(const DoctorSubject& subject, std::vector<Finding>* findings);
void ExamineRights(const DoctorSubject& subject, std::vector<Finding>* findings);
void ExamineLimits(const DoctorSubject& subject, std::vector<Finding>* findings);
void ExamineCgroup(const DoctorSubject& subject, std::vector<Finding>* findings);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_DOCTOR_DOCTOR_H_
