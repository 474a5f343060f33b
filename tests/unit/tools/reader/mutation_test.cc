// Any bytes at all: neither crash nor hang, with a fixed seed so that a finding repeats.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <sstream>

#include "tests/unit/tools/recording_builder.h"
#include "tools/analysis/report.h"
#include "tools/reader/decode.h"
#include "tools/render/folded.h"
#include "tools/render/json.h"
#include "tools/render/text.h"

namespace memtrace::tools {
namespace {

std::vector<std::byte> Original() {
  RecordingBuilder builder;
  builder.AddModule("/nonexistent/program", "\x12\x34");
  builder.AddModule("/usr/lib/memtrace/libmemtrace.so");
  const uint32_t first = builder.AddStack({0x1000, 0x1100, 0x1200});
  const uint32_t second = builder.AddStack({0x2000, 0x2100}, 1);
  for (uint64_t i = 0; i < 40; ++i) builder.Allocate(0x10000 + i * 65536, 40000, i % 3 != 0 ? first : second);
  builder.AllocateAndFree(100, 20, first, 5000);
  builder.AddOverflow(0x900000, 10, second);
  builder.AddBlob(format::BlobKind::kProcFile, "maps", "10000-200000 rw-p 00000000 00:00 0 [heap]\n");
  builder.AddBlob(format::BlobKind::kProcFile, "status", "RssAnon:\t4000 kB\nThreads:\t1\nVmStk:\t132 kB\n");
  builder.AddBlob(format::BlobKind::kCgroupFile, "memory.max", "100000000\n");
  format::TimelinePoint point{};
  point.time_ns = RecordingBuilder::kStartNs + 1000;
  point.work_bytes = 100000;
  builder.AddTimeline(point);
  builder.thread().deferred = {{0x10000, format::kUnknown, 0, 0}};
  return builder.Build();
}

// Mostly inside of what is used: the rest of a chunk is zeroes that mean nothing.
std::vector<std::byte> Mutate(const std::vector<std::byte>& original, const std::vector<size_t>& used,
                              std::mt19937_64* random) {
  std::vector<std::byte> copy = original;
  const auto draw = [random](uint64_t bound) { return (*random)() % bound; };
  for (uint64_t n = 1 + draw(8); n > 0; --n) {
    const size_t at = draw(4) == 0 ? draw(copy.size()) : used[draw(used.size())];
    switch (draw(4)) {
      case 0:
        copy[at] ^= static_cast<std::byte>(1u << draw(8));
        break;
      case 1:
        copy[at] = static_cast<std::byte>(draw(256));
        break;
      case 2:
        copy[at] = std::byte{0xff};
        break;
      default: {
        const size_t end = std::min(copy.size(), at + 8);
        for (size_t i = at; i < end; ++i) copy[i] = static_cast<std::byte>(draw(2) == 0 ? 0xff : draw(256));
      }
    }
  }
  if (draw(10) == 0) copy.resize(draw(copy.size()));
  return copy;
}

TEST(MutationTest, TenThousandDamagedFilesDoNoHarm) {
  const std::vector<std::byte> original = Original();
  std::vector<size_t> used;
  for (size_t i = 0; i < original.size(); ++i) {
    if (original[i] != std::byte{0}) used.push_back(i);
  }
  std::mt19937_64 random(20261122);
  int decoded = 0;
  for (int round = 0; round < 10000; ++round) {
    Result<Profile> profile = Decode(RecordingFile("mutant", Mutate(original, used, &random)));
    if (!profile.ok()) continue;
    ++decoded;
    ASSERT_LE(profile.value().nodes.size(), original.size());
    if (round % 10 != 0) continue;
    SymbolOptions no_symbols;
    no_symbols.enabled = false;
    Symbolizer symbolizer(no_symbols);
    ProcessStates states;
    states.push_back(std::move(profile).value());
    std::vector<Report> reports;
    reports.push_back(BuildReport(std::move(states), &symbolizer, "/nonexistent"));
    std::ostringstream out;
    WriteJson(reports, {}, &out);
    WriteText(reports, {}, &out);
    WriteFolded(reports[0], Metric::kLive, &out);
    ASSERT_FALSE(out.str().empty());
  }
  EXPECT_GT(decoded, 5000);
}

}  // namespace
}  // namespace memtrace::tools
