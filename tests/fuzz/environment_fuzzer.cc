// The MEMTRACE_ variables, and the texts that they are made of. Each line of the input is one entry of the environment.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "libmemtrace/config/options.h"

namespace {

using namespace memtrace;

void CheckOptions(const config::Options& options) {
  if (options.snapshot_percent_count < 0 || options.snapshot_percent_count > config::kMaxSnapshotPercents) abort();
  if (options.depth == 0 || options.depth > config::kMaxDepth) abort();
  if (options.max_bytes < config::kMinMaxBytes || options.max_bytes > config::kMaxMaxBytes) abort();
  if (options.directory[0] != '/' || rt::Length(options.directory) >= config::kMaxPath) abort();
  if (options.signal < 0 || options.signal > 64) abort();
  config::Selects(options, "program");
  config::Selects(options, "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 1024) return 0;  // longer ones only take longer
  std::vector<std::string> lines(1);
  for (size_t i = 0; i < size; ++i) {
    if (data[i] == '\n') {
      lines.emplace_back();
    } else if (data[i] != 0) {
      lines.back() += static_cast<char>(data[i]);
    }
  }
  std::vector<const char*> entries;
  for (const std::string& line : lines) entries.push_back(line.c_str());
  entries.push_back(nullptr);
  config::Options options;
  config::ReadOptions(entries.data(), &options, [](rt::Text line) {
    if (line.empty()) abort();
  });
  CheckOptions(options);
  for (const std::string& line : lines) {
    const rt::Text text(line.data(), line.size());
    for (const config::Variable& variable : config::Variables()) variable.parse(text, &options);
    uint64_t number;
    rt::ParseSize(text, &number);
    rt::MatchGlob(text, "a program");
  }
  // Costs as much as all the rest, so only once; ReadOptions asks it for each unknown variable.
  config::NearestVariable(rt::Text(lines.front().data(), lines.front().size()));
  return 0;
}
