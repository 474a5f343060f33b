// The frames of a recorded stack as a user reads them, and the identity of stacks.
#ifndef MEMTRACE_TOOLS_SYMBOLS_FRAMES_H_
#define MEMTRACE_TOOLS_SYMBOLS_FRAMES_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tools/reader/profile.h"
#include "tools/symbols/perf_map.h"
#include "tools/symbols/symbolizer.h"

namespace memtrace::tools {

struct Frame {
  SourceFrame source;
  const Module* module = nullptr;  // nullptr: unknown
  uint64_t offset = 0;             // in the ELF file; without a module the address in the process
  std::string_view helper;         // whose helper it is, see HelperTable; empty: none
};

// "function", or "libc.so.6+0x1234", or "[anonymous memory]" for code that was made at run time and has no name.
std::string FrameName(const Frame& frame);
// " (file.cc:12)"; the file without its directories; empty if it is unknown.
std::string FramePlace(const Frame& frame);
// "function (file.cc:12)", the function as a sentence wants it: see BareName.
std::string FrameText(const Frame& frame);

// Frames of libmemtrace.so are ours, not the program's.
bool IsOwnModule(const Module& module);

// Per node a hash of the frames from it to the root, by build-id (or path) and offset: equal for equal
// stacks of one program, whatever the addresses. Frames of our own module do not count. The hash of
// node 0 stands for an unknown stack.
std::vector<uint64_t> HashStacks(const Profile& profile);

// Whether a function is an entry of the allocator itself: malloc, operator new.
bool IsAllocatorEntry(std::string_view function);

class FrameTable {
 public:
  // Both must outlive the table.
  FrameTable(const Profile& profile, Symbolizer* symbolizer);

  // Indices of distinct frames, from the allocating function outwards, without frames of memtrace and
  // of the allocator's entries (malloc, operator new, ...). Empty for an unknown stack. Each place in
  // the program is resolved once.
  std::vector<uint32_t> Stack(uint32_t node);
  // The same node by node, for who walks many stacks: the frames of one node, which may be entries of the allocator,
  // from begin on; the innermost first. And the node that called it, 0 at the end.
  struct Range {
    uint32_t begin;
    uint32_t end;
  };
  Range Frames(uint32_t node);
  uint32_t Caller(uint32_t node) const { return profile_.nodes[node].parent; }
  // Names all frames of these stacks now, showing progress.
  void ResolveAll(std::span<const uint32_t> nodes);
  const Frame& frame(uint32_t index) const { return frames_[index]; }
  size_t size() const { return frames_.size(); }
  size_t nodes() const { return place_of_node_.size(); }  // of the profile

 private:
  static constexpr Range kUnresolved = {0xffffffff, 0xffffffff};
  Range Resolve(uint32_t node);

  const Profile& profile_;
  Symbolizer* symbolizer_;
  std::vector<Frame> frames_;
  std::unordered_map<uint64_t, Range> places_;  // by pc and module
  std::vector<Range> place_of_node_;            // the same, without hashing; kUnresolved: not yet
  std::optional<PerfMap> jit_;
};

// How many innermost frames are of libraries' helpers that only pass an allocation on; 0 if all are. What a helper
// calls in its own module and has no name (a static function of a stripped program) is a part of it.
size_t LeadingHelpers(const FrameTable& table, std::span<const uint32_t> stack);

// The frame that a user knows a site by: the innermost one behind the helpers. nullptr for an unknown stack.
const Frame* NamingFrame(const FrameTable& table, std::span<const uint32_t> stack);

// Hash of the names of the frames, or of module and offset where there is no name: equal for stacks that a reader
// cannot tell apart, such as those of an unrolled loop.
uint64_t HashNames(const FrameTable& table, std::span<const uint32_t> stack);

// "MT-7f3a91", from HashNames.
std::string SuspectId(uint64_t name_hash);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_FRAMES_H_
