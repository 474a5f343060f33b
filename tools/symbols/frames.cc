#include "tools/symbols/frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "tools/common/numbers.h"
#include "tools/common/progress.h"
#include "tools/symbols/readable_name.h"

namespace memtrace::tools {
namespace {

// Deeper than MEMTRACE_DEPTH goes: only a hostile file has such stacks.
constexpr int kMaxFrames = 1024;

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Memory without a file: the code in it was made at run time.
bool IsAnonymous(const Module* module) { return module == nullptr || module->path.empty(); }

// A module's identity from run to run.
const std::string& ModuleIdentity(const Module& module) {
  return module.build_id.empty() ? module.path : module.build_id;
}

}  // namespace

std::string FrameName(const Frame& frame) {
  if (!frame.source.function.empty()) return frame.source.function;
  if (frame.module == nullptr) return frame.offset == 0 ? "(unknown)" : fmt::format("{:#x}", frame.offset);
  if (IsAnonymous(frame.module)) return "[anonymous memory]";  // its addresses mean nothing in another run
  return fmt::format("{}+{:#x}", BaseName(frame.module->path), frame.offset);
}

std::string FramePlace(const Frame& frame) {
  if (frame.source.file.empty()) return {};
  return fmt::format(" ({}:{})", BaseName(frame.source.file), frame.source.line);
}

std::string FrameText(const Frame& frame) {
  const std::string& function = frame.source.function;
  return (function.empty() ? FrameName(frame) : BareName(function)) + FramePlace(frame);
}

bool IsAllocatorEntry(std::string_view function) {
  static constexpr std::string_view kEntries[] = {
      "malloc",        "calloc",         "realloc", "reallocarray", "memalign", "posix_memalign",
      "aligned_alloc", "valloc",         "pvalloc", "mallocx",      "rallocx",  "__libc_malloc",
      "__libc_calloc", "__libc_realloc", "free",    "cfree",        "xallocx",  "__libc_memalign"};
  if (function.starts_with("operator new(") || function.starts_with("operator new[](")) return true;
  return std::find(std::begin(kEntries), std::end(kEntries), function) != std::end(kEntries);
}

bool IsOwnModule(const Module& module) { return module.path.ends_with("/libmemtrace.so"); }

std::vector<uint64_t> HashStacks(const Profile& profile) {
  std::vector<uint64_t> module_hashes;
  for (const Module& module : profile.modules)
    module_hashes.push_back(StableHash().Add(ModuleIdentity(module)).value());
  std::vector<uint64_t> hashes(profile.nodes.size());
  hashes[0] = StableHash().value();
  for (size_t i = 1; i < hashes.size(); ++i) {
    const StackNode& node = profile.nodes[i];
    const bool known = node.module != format::kNoModule;
    if (known && IsOwnModule(profile.modules[node.module])) {
      hashes[i] = hashes[node.parent];
      continue;
    }
    StableHash hash(hashes[node.parent]);
    hash.Add(known ? module_hashes[node.module] : 0).Add(known ? node.pc - profile.modules[node.module].bias : node.pc);
    hashes[i] = hash.value();
  }
  return hashes;
}

FrameTable::FrameTable(const Profile& profile, Symbolizer* symbolizer)
    : profile_(profile), symbolizer_(symbolizer), place_of_node_(profile.nodes.size(), kUnresolved) {}

FrameTable::Range FrameTable::Resolve(uint32_t index) {
  const StackNode& node = profile_.nodes[index];
  const uint64_t key = node.pc | uint64_t{node.module} << 48;
  const auto [found, added] = places_.try_emplace(key);
  if (!added) return place_of_node_[index] = found->second;
  Frame frame;
  frame.offset = node.pc;
  if (node.module != format::kNoModule) {
    frame.module = &profile_.modules[node.module];
    frame.offset = node.pc - frame.module->bias;
    if (IsOwnModule(*frame.module)) return place_of_node_[index] = found->second = {};
  }
  std::vector<SourceFrame> sources;
  if (IsAnonymous(frame.module)) {
    if (!jit_) jit_.emplace(PerfMap::Of(profile_));
    if (const SourceFrame* function = jit_->Find(node.pc)) sources.push_back(*function);
  } else {
    sources = symbolizer_->Resolve(frame.module->path, frame.module->build_id, frame.offset);
  }
  if (sources.empty()) sources.emplace_back();
  const auto begin = static_cast<uint32_t>(frames_.size());
  for (SourceFrame& source : sources) {
    frame.source = std::move(source);
    frame.helper = symbolizer_->helpers().OwnerOf(frame.source.function);
    frames_.push_back(frame);
  }
  return place_of_node_[index] = found->second = {begin, static_cast<uint32_t>(frames_.size())};
}

FrameTable::Range FrameTable::Frames(uint32_t node) {
  const Range known = place_of_node_[node];
  return known.begin == kUnresolved.begin ? Resolve(node) : known;
}

void FrameTable::ResolveAll(std::span<const uint32_t> nodes) {
  ProgressStage progress("naming functions", nodes.size());
  for (uint32_t node : nodes) {
    // The callers of a frame that is named are named too.
    for (; node != 0 && place_of_node_[node].begin == kUnresolved.begin; node = profile_.nodes[node].parent) {
      Resolve(node);
    }
    progress.Advance();
  }
}

std::vector<uint32_t> FrameTable::Stack(uint32_t node) {
  std::vector<uint32_t> stack;
  for (int depth = 0; node != 0 && depth < kMaxFrames; node = profile_.nodes[node].parent, ++depth) {
    const Range place = Frames(node);
    for (uint32_t i = place.begin; i < place.end; ++i) {
      if (stack.empty() && IsAllocatorEntry(frames_[i].source.function)) continue;
      stack.push_back(i);
    }
  }
  return stack;
}

size_t LeadingHelpers(const FrameTable& table, std::span<const uint32_t> stack) {
  size_t helpers = 0;
  for (size_t i = 0; i < stack.size(); ++i) {
    const Frame& frame = table.frame(stack[i]);
    if (!frame.helper.empty()) {
      const std::span<const uint32_t> inside = stack.subspan(helpers, i - helpers);
      const bool all_its_own = std::all_of(inside.begin(), inside.end(),
                                           [&](uint32_t index) { return table.frame(index).module == frame.module; });
      if (!all_its_own) return helpers;
      helpers = i + 1;
    } else if (!frame.source.function.empty()) {
      return helpers;
    }
  }
  return helpers < stack.size() ? helpers : 0;
}

const Frame* NamingFrame(const FrameTable& table, std::span<const uint32_t> stack) {
  return stack.empty() ? nullptr : &table.frame(stack[LeadingHelpers(table, stack)]);
}

uint64_t HashNames(const FrameTable& table, std::span<const uint32_t> stack) {
  StableHash hash;
  for (const uint32_t index : stack) {
    const Frame& frame = table.frame(index);
    if (frame.source.function.empty() && !IsAnonymous(frame.module)) {
      hash.Add(BaseName(frame.module->path)).Add(frame.module->build_id).Add(frame.offset);
    } else {
      hash.Add(frame.source.function);
    }
  }
  return hash.value();
}

std::string SuspectId(uint64_t name_hash) {
  return fmt::format("MT-{:06x}", (name_hash ^ name_hash >> 24 ^ name_hash >> 48) & 0xffffff);
}

}  // namespace memtrace::tools
