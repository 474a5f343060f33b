#include "tools/analysis/mappings.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "tools/common/numbers.h"

namespace memtrace::tools {
namespace {

// A guard is a page with glibc and musl; the JVM has a few.
constexpr uint64_t kLargestGuard = 64 << 10;
constexpr uint64_t kLargestStack = uint64_t{1} << 30;

struct Line {
  uint64_t low = 0;
  uint64_t high = 0;
  std::string_view permissions;  // "rw-p"
  std::string_view name;         // with the offset and numbers before it

  bool anonymous() const { return name.find('/') == std::string_view::npos; }
};

bool Hex(std::string_view text, uint64_t* value) {
  return std::from_chars(text.data(), text.data() + text.size(), *value, 16).ec == std::errc();
}

// "7f0000000000-7f0000800000 rw-p 00000000 00:00 0   [heap]"
std::optional<Line> Parse(std::string_view text) {
  Line line;
  const size_t dash = text.find('-');
  const size_t space = text.find(' ');
  if (dash == std::string_view::npos || space == std::string_view::npos || dash > space) return std::nullopt;
  const bool valid = Hex(text.substr(0, dash), &line.low) && Hex(text.substr(dash + 1, space - dash - 1), &line.high);
  if (!valid || line.low >= line.high) return std::nullopt;
  line.permissions = text.substr(space + 1, 4);
  line.name = text.substr(space + 1);
  return line;
}

class Measure {
 public:
  explicit Measure(const Profile& profile) : live_(profile.live) {
    page_bytes_ = std::max<uint64_t>(profile.header.page_bytes, 4096);
  }

  void Add(const Line& line) {
    const bool writable = line.permissions.substr(0, 2) == "rw" && line.permissions.ends_with('p');
    if (writable && line.anonymous()) Count(line);
    guard_end_ = line.permissions.starts_with("---") && line.high - line.low <= kLargestGuard ? line.high : 0;
  }
  const Mappings& result() const { return mappings_; }

 private:
  void Count(const Line& line) {
    const uint64_t bytes = line.high - line.low;
    const uint64_t pages = PagesWithBlocks(line);
    mappings_.pages_with_blocks_bytes += pages * page_bytes_;
    if (line.name.ends_with("[stack]")) return;
    const bool allocator = pages > 0 || line.name.ends_with("[heap]");
    const bool stack = guard_end_ == line.low && guard_end_ != 0 && bytes <= kLargestStack;
    uint64_t& sum = allocator ? mappings_.allocator_bytes : stack ? mappings_.stacks_bytes : mappings_.other_bytes;
    sum = SaturatingAdd(sum, bytes);
  }

  uint64_t PagesWithBlocks(const Line& line) const {
    uint64_t pages = 0;
    uint64_t counted = line.low;  // up to here
    auto block = std::lower_bound(live_.begin(), live_.end(), line.low,
                                  [](const LiveBlock& b, uint64_t address) { return b.address < address; });
    for (; block != live_.end() && block->address < line.high; ++block) {
      const uint64_t begin = std::max(counted, block->address / page_bytes_ * page_bytes_);
      const uint64_t end = std::min(line.high, SaturatingAdd(block->address, std::max<uint64_t>(block->size, 1)));
      if (end <= begin) continue;
      const uint64_t touched = (end - begin + page_bytes_ - 1) / page_bytes_;
      pages += touched;
      counted = begin + touched * page_bytes_;
    }
    return pages;
  }

  const std::vector<LiveBlock>& live_;
  uint64_t page_bytes_;
  uint64_t guard_end_ = 0;
  Mappings mappings_;
};

}  // namespace

std::optional<Mappings> MeasureMappings(const Profile& profile) {
  const std::string* maps = profile.FindBlob(format::BlobKind::kProcFile, "maps");
  if (maps == nullptr) return std::nullopt;
  Measure measure(profile);
  for (size_t begin = 0; begin < maps->size();) {
    const size_t end = std::min(maps->find('\n', begin), maps->size());
    const std::string_view text = std::string_view(*maps).substr(begin, end - begin);
    begin = end + 1;
    if (const std::optional<Line> line = Parse(text)) measure.Add(*line);
  }
  return measure.result();
}

}  // namespace memtrace::tools
