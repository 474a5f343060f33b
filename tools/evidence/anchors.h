// Which parts of a log are worth reading: most of a gigabyte is passed over without being split into lines.
#ifndef MEMTRACE_TOOLS_EVIDENCE_ANCHORS_H_
#define MEMTRACE_TOOLS_EVIDENCE_ANCHORS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace memtrace::tools {

// Finds any of several words in one pass, by the last two bytes of a window (Wu and Manber, 1994).
class AnchorSet {
 public:
  // Words of at least kWindow bytes.
  explicit AnchorSet(const std::vector<std::string_view>& words);

  // The beginning of the first word in `text`, or npos.
  size_t Find(std::string_view text) const;

  static constexpr size_t kWindow = 8;

 private:
  static size_t Block(const char* at) {
    return static_cast<unsigned char>(at[0]) | static_cast<size_t>(static_cast<unsigned char>(at[1])) << 8;
  }

  std::array<uint8_t, 65536> shift_;  // by the block at the window's end; 0: a word may begin with this window
  std::vector<std::pair<uint16_t, std::string_view>> by_block_;  // sorted
};

// The words without which no line of any kind of evidence begins.
const AnchorSet& EvidenceAnchors();

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_EVIDENCE_ANCHORS_H_
