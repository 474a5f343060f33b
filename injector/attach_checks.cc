#include "injector/attach_checks.h"

#include <unistd.h>

#include <cstdlib>

#include "injector/container_root.h"
#include "injector/elf_probe.h"
#include "injector/process_memory.h"

namespace memtrace::injector {
namespace {

std::string Named(pid_t pid) {
  std::string name = ReadProcFile("/proc/" + std::to_string(pid) + "/comm");
  if (!name.empty()) name.pop_back();
  return "process " + std::to_string(pid) + (name.empty() ? "" : " (" + Printable(name) + ")");
}

bool HasCapability(int number) {
  return (strtoull(StatusField(getpid(), "CapEff:").c_str(), nullptr, 16) >> number & 1) != 0;
}

}  // namespace

std::string WhyNotAttachable(pid_t pid) {
  const std::string number = std::to_string(pid);
  const std::string state = StatusField(pid, "State:");
  if (state.empty()) return NoSuchProcess(number);
  const std::string leader = StatusField(pid, "Tgid:");
  if (leader != number) return number + " is a thread of process " + leader + ": give that number";
  if (state == "Z" || state == "X") {
    return Named(pid) + " has ended; its recordings, if it was recorded, are where MEMTRACE_DIR pointed";
  }
  if (pid == getpid()) return "memtrace cannot attach to itself";
  const std::string tracer = StatusField(pid, "TracerPid:");
  if (tracer != "0" && !tracer.empty()) {
    return Named(pid) + " is already traced by " + Named(static_cast<pid_t>(strtol(tracer.c_str(), nullptr, 10))) +
           ": end that debugger or strace first";
  }
  if (state == "T") return Named(pid) + " is stopped: continue it first, with kill -CONT " + number;
  const std::string executable = "/proc/" + number + "/exe";
  if (access((executable).c_str(), F_OK) != 0 && errno == ENOENT) return Named(pid) + " is a thread of the kernel";
  Probe probe = ProbeProgram(executable);
  if (probe.visibility == Visibility::kStatic) {
    return Named(pid) +
           " is statically linked: there is no loader that could take a library in. Link it dynamically, " +
           "or link a profiler into it";
  }
  if (probe.visibility == Visibility::kForeign) {
    return Named(pid) + " is a program for " + probe.detail + ": use the memtrace that was built for that";
  }
  return "";
}

std::string WhyNotTraceable(pid_t pid, const std::string& error) {
  const std::string refused = Named(pid) + " may not be traced (" + error + "): ";
  const std::string scope = ReadProcFile("/proc/sys/kernel/yama/ptrace_scope");
  constexpr int kSysPtrace = 19;
  if (scope.starts_with('3')) {
    return refused + "kernel.yama.ptrace_scope is 3, which forbids it until the machine is started anew";
  }
  if (!HasCapability(kSysPtrace)) {
    const std::string grant =
        "run memtrace as root on the host, or grant the capability SYS_PTRACE: docker run --cap-add SYS_PTRACE, in "
        "Kubernetes securityContext.capabilities.add: [SYS_PTRACE]";
    if (!scope.empty() && !scope.starts_with('0') && StatusField(pid, "Uid:") == std::to_string(getuid())) {
      return refused + "kernel.yama.ptrace_scope is " + scope.substr(0, 1) + "; " + grant +
             "; or allow it to all with sysctl kernel.yama.ptrace_scope=0";
    }
    return refused + grant;
  }
  return refused +
         "a security module (AppArmor, SELinux) or a user namespace above this one may forbid it; run memtrace "
         "as root on the host, outside of any container";
}

}  // namespace memtrace::injector
