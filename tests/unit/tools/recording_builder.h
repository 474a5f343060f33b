// Builds recordings in memory from a description, as the library would lay them out.
#ifndef MEMTRACE_TESTS_UNIT_TOOLS_RECORDING_BUILDER_H_
#define MEMTRACE_TESTS_UNIT_TOOLS_RECORDING_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "libmemtrace/format/blob.h"
#include "libmemtrace/format/tables.h"
#include "tools/reader/profile.h"
#include "tools/reader/recording_file.h"

namespace memtrace::tools {

class RecordingBuilder {
 public:
  struct Thread {
    format::ThreadBuffer buffer{};
    std::vector<format::DeferredEvent> deferred;
  };
  static constexpr uint64_t kModuleBase = 0x400000;

  // An exact recording of pid 4242 with one thread, started at kStartNs, that runs.
  RecordingBuilder();

  format::Header& header() { return header_; }
  Thread& thread(size_t i = 0) { return threads_[i]; }
  Thread& AddThread();
  uint16_t AddModule(const std::string& path, const std::string& raw_build_id = {}, uint64_t bias = kModuleBase);
  // Frames from the outermost in; all in `module`, at `offset` in its file. Returns the innermost node.
  uint32_t AddStack(std::initializer_list<uint64_t> offsets, uint16_t module = 0);
  uint32_t AddNode(const format::Node& node);
  void AddLive(uint64_t address, uint64_t size, uint32_t node, uint64_t birth = 0, uint32_t rate_index = 0);
  void AddOverflow(uint64_t address, uint64_t size, uint32_t node, uint64_t birth = 0);
  // Marks the live block at this address as lost, which counts with Header::look.
  void MarkLost(uint64_t address);
  void AddSite(const format::SiteCell& cell) { sites_.push_back(cell); }
  void AddColumn(uint32_t node, int column, uint64_t bytes) {
    columns_.push_back({format::ColumnKey(node, column), bytes});
  }
  void AddBlob(format::BlobKind kind, const std::string& name, const std::string& content);
  void AddTimeline(const format::TimelinePoint& point) { timeline_.push_back(point); }
  // A block that was allocated at a site and still lives, in all counters of an exact recording.
  void Allocate(uint64_t address, uint64_t size, uint32_t node);
  // The same for `count` blocks that were freed again, each at that age on the work clock.
  void AllocateAndFree(uint64_t size, uint64_t count, uint32_t node, uint64_t age);

  std::vector<std::byte> Build() const;
  // Requires that Build() decodes.
  Profile Decode() const;

  static constexpr uint64_t kStartNs = 1'763'817'300'000'000'000;  // 2025-11-22T13:15:00Z

 private:
  format::SiteCell& ThreadSite(uint32_t node);

  format::Header header_{};
  std::vector<Thread> threads_;
  std::vector<format::Module> modules_;
  std::vector<format::Node> nodes_;
  std::vector<format::LiveBucket> live_;
  std::vector<format::LiveBucket> overflow_;
  std::vector<format::SiteCell> sites_;
  std::vector<format::ColumnCell> columns_;
  std::vector<format::TimelinePoint> timeline_;
  std::string blobs_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TESTS_UNIT_TOOLS_RECORDING_BUILDER_H_
