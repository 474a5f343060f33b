// Survival analysis of one site on the work clock: which share of its bytes never dies, and how
// fast what does not die grows.
#ifndef MEMTRACE_TOOLS_ANALYSIS_SURVIVAL_H_
#define MEMTRACE_TOOLS_ANALYSIS_SURVIVAL_H_

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "libmemtrace/format/tables.h"
#include "tools/analysis/work_clock.h"

namespace memtrace::tools {

// "Lately" on the work clock: between an eighth and a quarter of the work, from an edge of the octaves of age to now.
// 0 while there is too little work for that.
double RecentSpan(uint64_t work_bytes);
constexpr int kRecentParts = 32;
constexpr double kRecentSpans = 4;  // so many of these together are divided into the parts

// Bytes of one site; octaves as in format::ColumnCell.
struct SiteHistory {
  std::array<double, format::kOctaves> died{};       // freed, by age at death
  std::array<double, format::kOctaves> alive{};      // live now, by age now
  std::array<double, format::kOctaves> allocated{};  // by the work clock at birth
  std::array<double, kRecentParts> recent{};         // of those alive, the younger ones by age in equal parts
  double bytes_per_sample = 1;                       // what one recorded block stands for
  double allocations = 0;                            // blocks, ever
  double live_blocks = 0;
  // By how much what is live has grown since the present octave of the work clock began, and the one before; infinite
  // where that is not known.
  std::array<double, 2> grown = {INFINITY, INFINITY};
};

// What becomes of a site's blocks, in one word.
enum class Behaviour {
  kUnknown,         // too few blocks to tell
  kGrowing,         // what comes lately stays, as fast as before
  kStillFilling,    // what comes stays, but less and less of it comes
  kBounded,         // it grew, and stopped
  kStartUp,         // it was allocated early and has lived since
  kSteadyTurnover,  // what comes dies
};

// Whether less comes than before.
enum class Slowing { kNo, kMaybe, kClearly };

std::string_view Name(Behaviour behaviour);   // as in --json: "growing", "still-filling"
std::string_view Words(Behaviour behaviour);  // as a reader takes it: "growing without bound", "still filling"

struct Survival {
  // S(T) exp(-h): the Kaplan-Meier estimate over all ages, and once more the hazard of the last two
  // octaves for what those who live now have still before them.
  double never_dies = 0;
  double window_share = 0;    // of all bytes that the process allocates, the part of this site, lately
  double earlier_share = 0;   // the same before that
  uint64_t window_begin = 0;  // work clock: "lately" is from here to now
  double growth = 0;          // bytes that stay per byte of work
  double score = 0;           // growth times all the work: bytes
  double log_error = 0;  // standard error of log(growth): Greenwood, and counting of samples; of the least sure way
  double window_samples = 0;  // effective number of recorded blocks behind window_share
  double window_events = 0;   // the same where blocks that come in one burst count as one
  bool any_death = false;
  bool one_buffer = false;         // a single block, replaced by a larger one whenever it is full
  Slowing slowing = Slowing::kNo;  // of what comes, or, if `fewer_stay`, of what comes to stay:
  bool fewer_stay = false;
  double faster = 0;  // bytes per byte of work, before
  double slower = 0;  // and lately
  Behaviour behaviour = Behaviour::kUnknown;
};

// `work_bytes` is T, the work clock now. Without `clock` the wall clock has no say.
Survival AnalyseSurvival(const SiteHistory& history, uint64_t work_bytes, const WorkClock* clock = nullptr);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_ANALYSIS_SURVIVAL_H_
