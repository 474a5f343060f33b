// `docker events`, `podman events`, `ctr events`, `kubectl get events` as text.
#ifndef MEMTRACE_TOOLS_EVIDENCE_EVENTS_TEXT_H_
#define MEMTRACE_TOOLS_EVIDENCE_EVENTS_TEXT_H_

#include <string>
#include <string_view>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

inline constexpr size_t kMostEvents = 1000000;

class EventsText {
 public:
  EventsText(uint32_t file, Evidence* evidence) : file_(file), evidence_(*evidence) {}
  bool Take(std::string_view line, uint32_t number);
  void Finish();

 private:
  bool TakeContainerEvent(std::string_view line, uint32_t number);
  bool TakeOldEvent(std::string_view line, uint32_t number);
  bool TakeTask(std::string_view line, uint32_t number);
  bool TakeDaemonLog(std::string_view line, uint32_t number);
  bool TakeKubernetes(std::string_view line, uint32_t number);
  void Add(RuntimeEvent event);

  const uint32_t file_;
  Evidence& evidence_;
  std::string pending_;  // attributes that go on in the next line
  uint32_t pending_line_ = 0;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_EVENTS_TEXT_H_
