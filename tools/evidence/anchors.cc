#include "tools/evidence/anchors.h"

#include <algorithm>

namespace memtrace::tools {

AnchorSet::AnchorSet(const std::vector<std::string_view>& words) {
  shift_.fill(static_cast<uint8_t>(kWindow - 1));
  for (const std::string_view word : words) {
    for (size_t end = 2; end <= kWindow; ++end) {
      uint8_t& shift = shift_[Block(word.data() + end - 2)];
      shift = std::min(shift, static_cast<uint8_t>(kWindow - end));
    }
    by_block_.emplace_back(static_cast<uint16_t>(Block(word.data() + kWindow - 2)), word);
  }
  std::sort(by_block_.begin(), by_block_.end());
}

size_t AnchorSet::Find(std::string_view text) const {
  for (size_t end = kWindow; end <= text.size();) {
    const size_t block = Block(text.data() + end - 2);
    const uint8_t shift = shift_[block];
    if (shift != 0) {
      end += shift;
      continue;
    }
    const size_t begin = end - kWindow;
    const auto less = [](const auto& entry, size_t key) { return entry.first < key; };
    for (auto entry = std::lower_bound(by_block_.begin(), by_block_.end(), block, less);
         entry != by_block_.end() && entry->first == block; ++entry) {
      if (text.substr(begin).starts_with(entry->second)) return begin;
    }
    ++end;
  }
  return std::string_view::npos;
}

const AnchorSet& EvidenceAnchors() {
  static const AnchorSet anchors({
      // kernel logs
      "oom-kill",
      "oom_kill",
      "oom_reaper",
      "Killed process",
      "ill process ",
      "emory cgroup",
      "memory: usage",
      "memory+swap: usage",
      "killed as a result",
      "total_vm ",
      "f memory: Kill",
      // notices
      "OOM killer",
      "systemd-oomd",
      "earlyoom",
      "viction manager",
      "lowmemorykiller",
      "TaskOOM",
      "sys oom event",
      "fork rejected",
      "no killable",
      // container states and events
      "OOMKilled",
      "OOM Killed",
      "ExitCode",
      "exitCode",
      "Exit Code",
      "exit_code",
      "Exited (",
      "container oom",
      "container die",
      "/tasks/oom",
      "/tasks/exit",
      // tables, cgroup files, command lines
      "MEM USAGE",
      "memory.current",
      "memory.max",
      "memory.peak",
      "memory.events",
      "memory.stat",
      "memory.limit_in",
      "memory.usage_in",
      "memory.max_usage",
      "memory.failcnt",
      "memory.oom_control",
      "memory.pressure",
      "pids.max",
      "pids.current",
      "inactive_file ",
      "some avg10=",
      "docker run",
      "podman run",
      "nerdctl run",
      "docker create",
      "docker update",
  });
  return anchors;
}

}  // namespace memtrace::tools
