#include "tools/evidence/notices.h"

#include <limits>

#include "tools/evidence/stamp.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

constexpr size_t kNowhere = std::string_view::npos;

enum class Subject { kNone, kBefore, kAfter };  // the word that the notice is about

struct Pattern {
  std::string_view text;
  std::string_view also;  // must be in the line, too
  NoticeKind kind;
  Subject subject;
};

constexpr Pattern kPatterns[] = {
    // systemd since 243 (unit.c, service.c)
    {": A process of this unit has been killed by the OOM killer", "", NoticeKind::kUnitOom, Subject::kBefore},
    {": Failed with result 'oom-kill'", "", NoticeKind::kUnitOom, Subject::kBefore},
    {"(Result: oom-kill)", "Active:", NoticeKind::kUnitOom, Subject::kNone},  // systemctl status
    {"Result=oom-kill", "", NoticeKind::kUnitOom, Subject::kNone},            // systemctl show
    {": systemd-oomd killed ", "process", NoticeKind::kUserSpaceKiller, Subject::kBefore},
    {" due to memory pressure for ", "Killed /", NoticeKind::kUserSpaceKiller, Subject::kBefore},
    {" due to memory used (", "Killed /", NoticeKind::kUserSpaceKiller, Subject::kBefore},
    {"sending SIGTERM to process ", "VmRSS ", NoticeKind::kUserSpaceKiller, Subject::kAfter},  // earlyoom
    {"sending SIGKILL to process ", "VmRSS ", NoticeKind::kUserSpaceKiller, Subject::kAfter},
    {"lowmemorykiller: Kill '", "kB rss", NoticeKind::kUserSpaceKiller, Subject::kAfter},  // Android's lmkd
    // kubelet (eviction_manager.go), since 1.20 and before
    {"must evict pod(s) to reclaim\" resourceName=\"", "", NoticeKind::kEvictionReason, Subject::kAfter},
    {"must evict pod(s) to reclaim ", "viction manager", NoticeKind::kEvictionReason, Subject::kAfter},
    {"pod is evicted successfully\" pod=\"", "", NoticeKind::kEviction, Subject::kAfter},
    {" is evicted successfully", "viction manager", NoticeKind::kEviction, Subject::kBefore},
    {"fork rejected by pids controller in ", "cgroup", NoticeKind::kForkRejected, Subject::kAfter},
    {"oom_kill_process: ", " callbacks suppressed", NoticeKind::kSuppressed, Subject::kNone},
    {"Out of memory and no killable processes", "", NoticeKind::kNoKillable, Subject::kNone},
    {"panic_on_oom is enabled", "", NoticeKind::kNoKillable, Subject::kNone},
};

std::string_view WordBefore(std::string_view line, size_t end) {
  const size_t begin = line.substr(0, end).find_last_of(" \t");
  return line.substr(begin == kNowhere ? 0 : begin + 1, end - (begin == kNowhere ? 0 : begin + 1));
}

std::string_view WordAfter(std::string_view line, size_t begin) {
  const std::string_view rest = line.substr(begin);
  return rest.substr(0, rest.find_first_of(" \t\"'"));
}

}  // namespace

std::optional<Notice> ParseNotice(std::string_view line) {
  for (const Pattern& pattern : kPatterns) {
    const size_t at = line.find(pattern.text);
    if (at == kNowhere || !Contains(line, pattern.also)) continue;
    Notice notice{{}, ParseStamp(line.substr(0, at)).moment, pattern.kind, {}, {}};
    if (pattern.subject == Subject::kBefore) notice.subject = WordBefore(line, at);
    if (pattern.subject == Subject::kAfter) {
      const std::string_view word = WordAfter(line, at + pattern.text.size());
      const auto pid = WholeNumber(word);
      if (!pid) {
        notice.subject = word;
      } else if (*pid <= std::numeric_limits<uint32_t>::max()) {
        notice.pid = static_cast<uint32_t>(*pid);
        if (const auto name = Between(line.substr(at), "\"", "\"")) notice.subject = *name;
      }
    }
    return notice;
  }
  return std::nullopt;
}

}  // namespace memtrace::tools
