// What counts against one memory limit, by kind, at one moment: the budget that must close before anybody is accused.
#ifndef MEMTRACE_TOOLS_ANALYSIS_COMPOSITION_H_
#define MEMTRACE_TOOLS_ANALYSIS_COMPOSITION_H_

#include <optional>
#include <string>

#include "tools/analysis/memory.h"
#include "tools/evidence/evidence.h"

namespace memtrace::tools {

// usage = anon + file + shmem + kernel + sock. Version 1 has no sockets in its usage.
struct Composition {
  Bytes usage, limit;
  Bytes anon;
  Bytes file;  // page cache without shmem
  Bytes shmem;
  Bytes kernel;
  Bytes sock;
  // Parts of the above, for the words.
  Bytes dirty;         // dirty or under write-back; of `file`
  Bytes slab;          // of `kernel`
  Bytes pagetables;    // of `kernel`
  Bytes kernel_stack;  // of `kernel`
  Bytes swap;          // beside the usage
  std::string where;   // "dmesg:31", "the snapshot"; empty: nothing is known
  bool at_kill = false;

  // The part of the usage, 0 if either is unknown.
  double Share(const Bytes& part) const;
  // Of the usage, what no part explains; below 0 if they are more. Nothing unless usage, anon, file and kernel are
  // known.
  std::optional<double> Unexplained() const;
};

Composition CompositionOf(const OomReport& report, const Evidence& evidence);
Composition CompositionOf(const CgroupFiles& files, const Evidence& evidence);
Composition CompositionOf(const Sample& sample, const Evidence& evidence);
Composition CompositionOf(const MemoryBridge& bridge, const CgroupFacts& cgroup);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_COMPOSITION_H_
