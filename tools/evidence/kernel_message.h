// The grammar of what mm/oom_kill.c and mm/memcontrol.c print, from 2.6.18 to 6.18 and in Red Hat's variants.
#ifndef MEMTRACE_TOOLS_EVIDENCE_KERNEL_MESSAGE_H_
#define MEMTRACE_TOOLS_EVIDENCE_KERNEL_MESSAGE_H_

#include <optional>
#include <string>
#include <string_view>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

enum class KernelKind {
  kNone,
  kInvoked,     // "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
  kCpu,         // "CPU: 0 PID: 26686 Comm: java Not tainted 4.4.0-28-generic #47-Ubuntu"
  kOverLimit,   // "Task in /a/b killed as a result of limit of /a"
  kMemory,      // "memory: usage 65536kB, limit 65536kB, failcnt 75"
  kMemorySwap,  // "memory+swap: usage ..."
  kSwap,
  kKernelMemory,  // "kmem: usage ..."
  kStats,         // "Memory cgroup stats for /a: cache:0KB rss:44KB ..." or a line for each value after it
  kSummary,       // "oom-kill:constraint=CONSTRAINT_MEMCG,...,task=java,pid=7134,uid=1000"
  kChosen,        // "Memory cgroup out of memory: Kill process 24984 (java) score 968 or sacrifice child"
  kKilled,        // "Out of memory: Killed process 7134 (java) total-vm:11892kB, anon-rss:4292kB, ..."
  kGroup,         // "Tasks in /a are going to be killed due to memory.oom.group set"
  kReaped,        // "oom_reaper: reaped process 7134 (java), now anon-rss:0kB, ..."
};

struct KernelMessage {
  KernelKind kind = KernelKind::kNone;
  size_t begin = 0;       // of the message in the line: what is before it are stamps
  int facts = 0;          // how many were read; of two readings of wrapped lines the one with more is right
  bool complete = false;  // otherwise the next line may hold the rest
  bool alone = false;     // kKilled: nothing but this line's wording says that the kernel wrote it
  OomReport report;       // kInvoked, kCpu, kOverLimit, kSummary, kGroup
  OomKill kill;           // kSummary, kChosen, kKilled, kReaped
  UsageLine usage;        // kMemory, kMemorySwap, kSwap, kKernelMemory
  MemcgStats stats;       // kStats
};

// The message in `line`, wherever it begins. kNone for anything else, however much it talks of memory.
KernelMessage ParseKernelMessage(std::string_view line);

// The line ends in the middle of a message's first words ("... out of memory: Kil").
bool EndsInsideAnchor(std::string_view line);

// A line of memory.stat in a log: "May 17 19:54:29 host kernel: anon 7688192". `bare_only`: nothing may be before it.
std::optional<std::pair<std::string_view, uint64_t>> ParseStatLine(std::string_view line);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_KERNEL_MESSAGE_H_
