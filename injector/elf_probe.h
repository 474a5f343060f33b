// Whether the dynamic loader will put a preloaded library into a program.
#ifndef MEMTRACE_INJECTOR_ELF_PROBE_H_
#define MEMTRACE_INJECTOR_ELF_PROBE_H_

#include <string>

namespace memtrace::injector {

enum class Visibility {
  kVisible,
  kStatic,      // no dynamic loader
  kPrivileged,  // set-uid, set-gid or file capabilities: the loader ignores paths in LD_PRELOAD
  kForeign,     // another architecture or word size
  kNotElf,      // nothing that the kernel executes by itself
  kUnreadable,  // cannot tell
};

struct Probe {
  Visibility visibility = Visibility::kUnreadable;
  std::string file;    // what decides: the program, or the interpreter of a script
  std::string loader;  // of a dynamic program
  std::string detail;  // what was found, for people
};

// Follows "#!" lines as the kernel does. Input is hostile: reads a few hundred bytes at checked offsets.
Probe ProbeProgram(const std::string& path);

// One sentence on why nothing will be recorded; empty if it will, or if nobody can tell.
std::string Explain(const Probe& probe);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_ELF_PROBE_H_
