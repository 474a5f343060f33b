// Puts the lines that name one killed process together, also across files.
#ifndef MEMTRACE_TOOLS_EVIDENCE_KILL_LIST_H_
#define MEMTRACE_TOOLS_EVIDENCE_KILL_LIST_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

inline constexpr size_t kMostKills = 100000;

class KillList {
 public:
  explicit KillList(Evidence* evidence);

  // The index of `kill` in Evidence::kills: of the entry for the same process, into which it is merged, or a new one.
  // Nothing beyond kMostKills.
  std::optional<uint32_t> Add(OomKill kill);
  void MarkReaped(uint32_t pid);
  uint64_t left_out() const { return left_out_; }

 private:
  Evidence& evidence_;
  std::unordered_map<uint32_t, std::vector<uint32_t>> by_pid_;
  uint64_t left_out_ = 0;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_KILL_LIST_H_
