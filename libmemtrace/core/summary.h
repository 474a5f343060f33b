// What a snapshot says in words, for who has only the termination message of a container to go by.
#ifndef MEMTRACE_CORE_SUMMARY_H_
#define MEMTRACE_CORE_SUMMARY_H_

#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/text.h"

namespace memtrace::core {

// Kubernetes keeps no more of a termination message.
inline constexpr size_t kMostSummaryBytes = 4096;

// Writes what this process holds, its memory limit, the five stacks with the most live bytes as module+offset, and the
// path of the snapshot to the file `path`, in place of what is there. Nothing is said where that fails. Needs 16 KiB of
// stack. Cost: one pass over the live table.
void WriteSummary(const char* path, rt::Text snapshot_path, format::Trigger trigger, uint32_t percent);

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_SUMMARY_H_
