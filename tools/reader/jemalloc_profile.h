// jemalloc's heap profiles (jeprof.*.heap, text format heap_v2) as a Profile: sites and what lives, without times.
#ifndef MEMTRACE_TOOLS_READER_JEMALLOC_PROFILE_H_
#define MEMTRACE_TOOLS_READER_JEMALLOC_PROFILE_H_

#include <string>
#include <string_view>

#include "tools/common/result.h"
#include "tools/reader/profile.h"

namespace memtrace::tools {

// Whether a file begins as such a profile does.
bool IsJemallocProfile(std::string_view begin);

// Total: what cannot be read is in the profile's losses. The profile knows sums per stack only: each of its blocks is
// given the average size, by which sampling is corrected as jeprof does it. Births, frees and the process are unknown.
Profile DecodeJemallocProfile(const std::string& name, std::string_view text);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_READER_JEMALLOC_PROFILE_H_
