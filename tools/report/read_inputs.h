// What the paths of the command line hold: recordings, evidence, directories of both.
#ifndef MEMTRACE_TOOLS_REPORT_READ_INPUTS_H_
#define MEMTRACE_TOOLS_REPORT_READ_INPUTS_H_

#include <memory>
#include <string>
#include <vector>

#include "tools/evidence/evidence.h"
#include "tools/reader/profile.h"

namespace memtrace::tools {

struct Inputs {
  std::vector<Profile> profiles;
  std::unique_ptr<Evidence> evidence;  // null if no input is any
  size_t failures = 0;                 // inputs that could not be used; each was named on standard error
};

// In a directory, what is no recording and no evidence is passed over in silence, unless there is nothing else.
Inputs ReadInputs(const std::vector<std::string>& paths);

// A line on standard error.
void Complain(const std::string& text);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_REPORT_READ_INPUTS_H_
