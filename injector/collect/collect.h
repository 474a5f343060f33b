// `memtrace collect`: everything that a post-mortem needs, in one directory.
//
//   recordings/           recordings and snapshots
//   binaries/.build-id/   the binaries that they name and their debug files, by build-id
//   evidence/             inspect.json, events.jsonl, kernel.log, cgroup/
//   collected.txt         what is here and what could not be had
#ifndef MEMTRACE_INJECTOR_COLLECT_COLLECT_H_
#define MEMTRACE_INJECTOR_COLLECT_COLLECT_H_

#include <string>
#include <vector>

namespace memtrace::injector {

struct CollectOrder {
  std::string target;      // a process id, or the name or id of a docker or podman container, running or dead
  std::string directory;   // made, if it is not there; must be empty
  std::string recordings;  // where the target keeps its recordings; empty: as its environment says
};

struct CollectOutcome {
  bool done = false;
  std::vector<std::string> lines;  // what was got and what not
  std::string message;             // if nothing was: why, and what to do
};

CollectOutcome Collect(const CollectOrder& order);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_COLLECT_COLLECT_H_
