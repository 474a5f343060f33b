// The host's memory in the kernel's report of a global OOM (show_mem in lib/show_mem.c and mm/page_alloc.c).
#ifndef MEMTRACE_TOOLS_EVIDENCE_HOST_MEMORY_H_
#define MEMTRACE_TOOLS_EVIDENCE_HOST_MEMORY_H_

#include <string_view>

#include "tools/evidence/evidence.h"

namespace memtrace::tools {

// Adds what a line of it says: pages under the kernel's own names, and total_pagecache_pages, ram_pages,
// reserved_pages, free_swap_kb, total_swap_kb. False for any other line, also for those of single nodes and zones.
bool TakeHostLine(std::string_view line, NamedNumbers* host);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_HOST_MEMORY_H_
