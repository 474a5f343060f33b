// Why a process cannot be traced, and what to do about it.
#ifndef MEMTRACE_INJECTOR_ATTACH_CHECKS_H_
#define MEMTRACE_INJECTOR_ATTACH_CHECKS_H_

#include <sys/types.h>

#include <string>

namespace memtrace::injector {

// What can be told beforehand; empty if nothing speaks against it.
std::string WhyNotAttachable(pid_t pid);
// After the kernel has refused with `error`.
std::string WhyNotTraceable(pid_t pid, const std::string& error);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_ATTACH_CHECKS_H_
