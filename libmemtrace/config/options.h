// The MEMTRACE_* variables: what the user of the preloaded program can set. Each is declared
// once, in the table of options.cc: name, parser, default, accepted values, help.
//
// Context: any; uses no libc, allocates nothing, keeps no state.
#ifndef MEMTRACE_CONFIG_OPTIONS_H_
#define MEMTRACE_CONFIG_OPTIONS_H_

#include <cstddef>
#include <cstdint>

#include "libmemtrace/rt/text.h"

namespace memtrace::config {

enum class Sample { kExact, kFixed, kAuto };
// kVerify: our own, and each incremental unwind is compared with a full one.
enum class Unwinder { kOwn, kLibunwind, kVerify };

inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;
inline constexpr uint64_t kMinMaxBytes = 1 * kMiB;
inline constexpr uint64_t kMaxMaxBytes = 4 * kGiB;
inline constexpr uint32_t kMaxDepth = 1024;
inline constexpr size_t kMaxPath = 512;
inline constexpr int kMaxSnapshotPercents = 8;

struct Options {
  char directory[kMaxPath];  // absolute, without a slash at the end
  Sample sample;
  uint64_t sample_bytes;  // mean interval; 1 with kExact, 0 with kAuto
  uint32_t budget_ppm;    // share of the process's CPU time (core/budget_law.h), 10,000 is 1 %
  int signal;             // 0: none
  uint8_t snapshot_percents[kMaxSnapshotPercents];  // ascending, each once, 1..100
  int snapshot_percent_count;
  bool keep_always;
  uint32_t keep_files;
  uint64_t max_bytes;
  bool follow_fork;
  bool follow_exec;
  char only[kMaxPath];  // globs, see Selects()
  char skip[kMaxPath];
  uint32_t depth;
  bool store_command;
  char termination_log[kMaxPath];  // absolute; empty: none
  bool quiet;
  bool reachability;
  uint64_t seed;  // 0: random
  Unwinder unwinder;
  uint32_t run_pid;  // the process that `memtrace run` became; 0: none
};

// One variable as a user sees it.
struct Variable {
  rt::Text name;                                    // with the prefix MEMTRACE_
  bool (*parse)(rt::Text value, Options* options);  // leaves *options alone where it returns false
  rt::Text fallback;                                // parsed like a value; empty: the field stays empty or 0
  rt::Text accepted;                                // "expected ..."
  rt::Text help;                                    // empty: internal, not for users
};

struct VariableList {
  const Variable* first;
  size_t count;
  const Variable* begin() const { return first; }
  const Variable* end() const { return first + count; }
};
VariableList Variables();
// nullptr where there is none of that name.
const Variable* FindVariable(rt::Text name);

// Takes a text without newline that names variable, value, what is accepted and what holds instead.
using ComplainFunction = void (*)(rt::Text line);

// Fills all of *options. An absent or empty variable, and one whose value cannot be read, has its
// default. Complains once for each value that cannot be read and for each unknown MEMTRACE_
// variable, but not at all under MEMTRACE_QUIET=1 or if `complain` is nullptr. `environment` ends with
// a nullptr, or is one, as environ may be.
// Relative paths count from the current directory of this moment.
void ReadOptions(const char* const* environment, Options* options, ComplainFunction complain);

// Whether MEMTRACE_ONLY and MEMTRACE_SKIP let a program of this name (without directory) be recorded.
bool Selects(const Options& options, rt::Text executable_name);

// Name with or without SIG in any case, number, RTMIN+n, RTMAX-n; numbers as glibc presents them
// (RTMIN is 34). 0: `none`. -1: no such signal, or none that a handler may take over.
int SignalNumber(rt::Text text);

// The known variable that `name` probably means.
const Variable& NearestVariable(rt::Text name);

}  // namespace memtrace::config

#endif  // MEMTRACE_CONFIG_OPTIONS_H_
