// A recording, decoded: every index in here is valid, whatever the file said. Still per process
// address and stack node; names, merging and estimates are the business of others.
#ifndef MEMTRACE_TOOLS_READER_PROFILE_H_
#define MEMTRACE_TOOLS_READER_PROFILE_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libmemtrace/format/blob.h"
#include "libmemtrace/format/tables.h"
#include "tools/reader/losses.h"

namespace memtrace::tools {

struct Module {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t bias = 0;     // process address - bias = address in the ELF file
  std::string build_id;  // hexadecimal, empty if unknown
  std::string path;      // empty for memory without a file
};

// A frame and the way to its caller. parent < own index, so walks end. Node 0 is the root and,
// as a site, stands for an unknown stack.
struct StackNode {
  uint64_t pc = 0;  // what to look up, see format::Node; 0: lost
  uint32_t parent = 0;
  uint16_t module = format::kNoModule;  // index into Profile::modules, or kNoModule
  uint16_t flags = 0;
};

struct LiveBlock {
  uint64_t address = 0;
  uint64_t size = 0;
  uint64_t birth = 0;       // on the work clock, at most Profile::work_bytes
  uint64_t rate_bytes = 1;  // sampling interval that it stands for; 1: every block was recorded
  uint32_t node = 0;
  bool lost = false;  // no pointer led to it any more; see Profile::looked()
};

// What one allocation site did so far, estimated where sampled. At most one per node.
struct SiteCounts {
  uint32_t node = 0;
  uint64_t alloc_count_q16 = 0;
  uint64_t alloc_bytes = 0;
  uint64_t free_count_q16 = 0;
  uint64_t free_bytes = 0;
  uint64_t temporary_count_q16 = 0;
  uint64_t peak_bytes = 0;  // held by the site at the peak of the process
  // By how much what it holds has grown since its first allocation in the present octave of the work clock, and in the
  // octave before; too much rather than too little, where threads free what others allocated.
  int64_t grown_bytes[2] = {};
};

// Bytes of one column below format::kHeldColumns (see format::ColumnCell) of one site, never 0.
struct SiteColumn {
  uint32_t site = 0;  // index into Profile::sites
  uint32_t column = 0;
  uint64_t bytes = 0;
};

struct Totals {
  uint64_t allocations = 0;
  uint64_t allocated_bytes = 0;
  uint64_t frees = 0;
  uint64_t freed_bytes = 0;
  uint64_t temporary_allocations = 0;
  uint64_t live_allocations = 0;
  uint64_t live_bytes = 0;
  uint64_t peak_live_bytes = 0;
  uint64_t peak_live_allocations = 0;
  uint64_t dropped_allocations = 0;
  uint64_t dropped_frees = 0;
};

struct Blob {
  format::BlobKind kind;
  std::string name;
  std::string content;
};

struct Profile {
  std::string file_name;
  format::Header header{};
  std::vector<Module> modules;
  std::vector<StackNode> nodes;                 // at least the root
  std::vector<SiteCounts> sites;                // by node
  std::vector<SiteColumn> columns;              // by site, then column
  std::vector<LiveBlock> live;                  // by address
  std::vector<format::TimelinePoint> timeline;  // by time
  std::vector<Blob> blobs;
  Totals totals;
  // false: sums without births, deaths and times, so nothing can be said on what grows, on peaks and short lives
  bool has_history = true;
  bool has_sums = true;     // false: nor what was freed; `allocations` and the like are of what lives
  uint64_t work_bytes = 0;  // the work clock now: header and what threads have not flushed
  Losses losses;

  // The newest blob of that kind and name, or nullptr.
  const std::string* FindBlob(format::BlobKind kind, std::string_view name = {}) const {
    for (auto blob = blobs.rbegin(); blob != blobs.rend(); ++blob) {
      if (blob->kind == kind && blob->name == name) return &blob->content;
    }
    return nullptr;
  }
  std::string BlobOr(format::BlobKind kind, std::string_view fallback) const {
    const std::string* content = FindBlob(kind);
    return content != nullptr ? *content : std::string(fallback);
  }
  // Blocks that are missing may have been passed over at this interval. 1: none were.
  uint64_t CoarsestRate() const {
    uint64_t coarsest = 1;
    for (const format::Rate& rate : header.rates) coarsest = std::max(coarsest, rate.bytes);
    return coarsest;
  }
  // Whether it is known of each block if it is lost.
  bool looked() const { return header.look == static_cast<uint32_t>(format::LookState::kDone); }
  bool is_snapshot() const { return header.state == static_cast<uint32_t>(format::State::kSnapshot); }
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_READER_PROFILE_H_
