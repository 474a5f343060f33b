// The lines that name a killed process; see kernel_message.h.
#ifndef MEMTRACE_TOOLS_EVIDENCE_KERNEL_KILL_H_
#define MEMTRACE_TOOLS_EVIDENCE_KERNEL_KILL_H_

#include <string_view>

#include "tools/evidence/kernel_message.h"

namespace memtrace::tools {

bool ParseKilled(std::string_view line, KernelMessage* message);
bool ParseChosen(std::string_view line, KernelMessage* message);
bool ParseSummary(std::string_view line, KernelMessage* message);
bool ParseReaped(std::string_view line, KernelMessage* message);

// The number after `key`, if "kB" follows it: one that was cut off has none.
Number KilobytesAfter(std::string_view text, std::string_view key);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_KERNEL_KILL_H_
