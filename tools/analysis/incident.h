// The end of one process as the evidence from outside tells it: whether the kernel killed it for memory, and by whose
// limit. Facts that belong together are found by container id, cgroup path, PID, name and time.
#ifndef MEMTRACE_TOOLS_ANALYSIS_INCIDENT_H_
#define MEMTRACE_TOOLS_ANALYSIS_INCIDENT_H_

#include <string>
#include <vector>

#include "tools/analysis/composition.h"
#include "tools/evidence/evidence.h"
#include "tools/reader/profile.h"

namespace memtrace::tools {

// Signs of an OOM kill, each stronger than those before it.
enum class Proof {
  kNone,
  kExitCode,  // 137: SIGKILL, from whomever
  kStateFlag,
  kRuntimeEvent,
  kCounter,
  kKernelLog,
};

enum class LimitOwner { kUnknown, kContainer, kAncestor, kHost };

// Pointers are into the evidence that it was made from.
struct Incident {
  const OomKill* kill = nullptr;          // of this process; without a recording, the one that matters
  const OomReport* report = nullptr;      // around that kill, or around one in the same cgroup
  const ContainerState* state = nullptr;  // of the container
  const CgroupFiles* cgroup = nullptr;
  const DeclaredLimits* declared = nullptr;
  const Notice* notice = nullptr;         // a killer other than the kernel
  std::string evicted_for;                // the resource that the node was short of, empty if nobody says it
  const RuntimeEvent* stopped = nullptr;  // somebody asked the runtime to kill or stop it
  Proof proof = Proof::kNone;
  LimitOwner owner = LimitOwner::kUnknown;
  bool other_was_killed = false;  // `report` is about another process in the same cgroup
  bool main_process_lived = false;
  Composition parts;
  std::vector<std::string> signs;  // what speaks for and against an OOM kill, a sentence each with its place
  // Whom it is about, as far as that is known.
  bool has_subject = false;
  std::string container_id;
  std::string cgroup_path;

  bool is_oom() const { return proof >= Proof::kStateFlag; }
  // `kill`, of the same evidence, was in the same container or cgroup or for the same limit; any one if nobody is the
  // subject.
  bool Concerns(const OomKill& other) const;
};

// What a recording says about who and when; everything may be unknown.
struct ProcessIdentity {
  bool known = false;  // there is a recording
  std::string exe;
  std::string name;          // comm, of at most 15 bytes
  std::string container_id;  // 64 digits, or the 12 of a hostname
  std::string cgroup_path;
  std::vector<uint32_t> pids;  // in all namespaces that the recording names
  uint64_t started_ns = 0;
  std::optional<double> started_uptime_s;  // since the host booted
  uint64_t end_ns = 0;                     // of what was recorded
  bool ended_well = false;                 // exit or exec: nobody killed it
};
ProcessIdentity IdentityOf(const Profile& profile, uint64_t end_ns);

// How surely the kill is that of the process: 0 it is not; else larger is surer.
int MatchKill(const OomKill& kill, const ProcessIdentity& process);

Incident FindIncident(const Evidence& evidence, const ProcessIdentity& process);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_INCIDENT_H_
