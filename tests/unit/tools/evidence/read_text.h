// What a text holds, for tests.
#ifndef MEMTRACE_TESTS_UNIT_TOOLS_EVIDENCE_READ_TEXT_H_
#define MEMTRACE_TESTS_UNIT_TOOLS_EVIDENCE_READ_TEXT_H_

#include <string_view>

#include "tools/evidence/read.h"

namespace memtrace::tools {

inline Evidence ReadText(std::string_view text) {
  Evidence evidence;
  ReadEvidenceText(text, "input", &evidence);
  return evidence;
}

}  // namespace memtrace::tools

#endif  // MEMTRACE_TESTS_UNIT_TOOLS_EVIDENCE_READ_TEXT_H_
