// Container states in text that is no document: excerpts of JSON and YAML with arrows and gaps, `kubectl describe`,
// `docker inspect --format`, `docker ps`.
#ifndef MEMTRACE_TOOLS_EVIDENCE_CONTAINER_TEXT_H_
#define MEMTRACE_TOOLS_EVIDENCE_CONTAINER_TEXT_H_

#include <string>
#include <string_view>
#include <vector>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

inline constexpr size_t kMostContainers = 100000;

// "OOMKilled", "OOM Killed" (before Kubernetes 1.0), "OutOfMemoryError: Container killed due to ..." of ECS
bool IsOomReason(std::string_view reason);
// A state that Docker knows; empty for anything else.
bool IsDockerStatus(std::string_view word);

class ContainerText {
 public:
  ContainerText(uint32_t file, Evidence* evidence) : file_(file), evidence_(*evidence) {}
  bool Take(std::string_view line, uint32_t number);
  void Finish();

 private:
  bool TakeStructure(std::string_view line);
  bool TakeGoState(std::string_view line, uint32_t number);
  bool TakePsRow(std::string_view line, uint32_t number);
  bool TakePodRow(std::string_view line, uint32_t number);
  bool TakeBare(std::string_view line, uint32_t number);
  bool TakeField(const std::string& key, std::string_view value, uint32_t number);
  bool TakeState(const std::string& key, std::string_view value);
  bool TakeIdentity(const std::string& key, std::string_view value);
  void BeginState();
  void FlushContainer();

  const uint32_t file_;
  Evidence& evidence_;
  ContainerState state_;                // the one that lines are added to
  std::vector<ContainerState> states_;  // finished ones of the same container
  ContainerState identity_;             // name, id, image, pod, limits
  bool previous_ = false;               // lines are of the last state
  bool in_containers_ = false;          // of kubectl describe
  enum { kNoSection, kLimits, kRequests } section_ = kNoSection;
  std::vector<std::string> objects_;  // keys of the JSON objects around
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_CONTAINER_TEXT_H_
