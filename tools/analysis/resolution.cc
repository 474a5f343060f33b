#include "tools/analysis/resolution.h"

#include <fmt/format.h>

#include <algorithm>

#include "libmemtrace/format/weight.h"
#include "tools/analysis/suspects.h"
#include "tools/common/numbers.h"
#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

constexpr double kLittle = 0.05;  // of the heap
constexpr double kMuch = 0.25;
constexpr double kSmallLeak = 64 << 10;
constexpr uint64_t kSmallHeap = 1 << 20;

// Weighted by bytes (Kish 1965), since a heap that was recorded finely at first and coarsely later has many samples
// that stand for little.
struct MeanWeight {
  double bytes = 0;
  double squares = 0;
  double blocks = 0;

  void Add(double weight) {
    bytes += weight;
    squares += weight * weight;
    ++blocks;
  }
};

}  // namespace

bool Resolution::is_fine() const {
  return unseen_bytes <= std::max(kSmallLeak, kLittle * static_cast<double>(live_bytes));
}

bool Resolution::is_poor() const {
  return live_bytes > kSmallHeap && unseen_bytes > kMuch * static_cast<double>(live_bytes);
}

Resolution ResolutionOf(const Profile& profile) {
  MeanWeight all;
  MeanWeight late;
  for (const LiveBlock& block : profile.live) {
    if (block.size >= block.rate_bytes) continue;  // stands for itself
    const auto weight = static_cast<double>(format::WeightOf(block.size, block.rate_bytes).bytes);
    all.Add(weight);
    if (block.birth >= profile.work_bytes / 2) late.Add(weight);
  }
  const format::Rate& now = profile.header.rates[profile.header.rate_index % format::kRateSlots];
  Resolution resolution;
  resolution.live_bytes = profile.totals.live_bytes;
  resolution.bytes_per_sample =
      late.blocks >= kFewestSamples ? late.squares / late.bytes : static_cast<double>(std::max(now.bytes, uint64_t{1}));
  if (all.bytes > 0.5 * static_cast<double>(resolution.live_bytes))
    resolution.bytes_per_sample = std::max(resolution.bytes_per_sample, all.squares / all.bytes);
  if (profile.CoarsestRate() > 1) resolution.unseen_bytes = kFewestSamples * resolution.bytes_per_sample;
  return resolution;
}

std::string Words(const Resolution& resolution) {
  return fmt::format(
      "one block was recorded of each {}, and eight are needed, so that a leak of less than {} in small "
      "blocks does not show",
      FormatBytes(RoundToUint(resolution.bytes_per_sample)), FormatBytes(RoundToUint(resolution.unseen_bytes)));
}

}  // namespace memtrace::tools
