// Where things lie in a recording: header, time line, and one logical array per kind of chunk.
// The file is not trusted: nothing outside of it is ever touched, and what the header promises
// beyond it becomes a loss.
#ifndef MEMTRACE_TOOLS_READER_LAYOUT_H_
#define MEMTRACE_TOOLS_READER_LAYOUT_H_

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "libmemtrace/format/tables.h"
#include "tools/common/result.h"
#include "tools/reader/losses.h"
#include "tools/reader/recording_file.h"

namespace memtrace::tools {

class Layout {
 public:
  // `file` must outlive the layout. Fails if this is no recording or one of an unknown version;
  // any other damage goes to `losses`.
  static Result<Layout> Parse(const RecordingFile& file, Losses* losses);

  const format::Header& header() const { return header_; }
  std::vector<format::TimelinePoint> Timeline() const;
  // The chunks of a kind in the order of their ordinals. A chunk that is missing or cut is short.
  const std::vector<std::span<const std::byte>>& Chunks(format::ChunkKind kind) const {
    return chunks_[static_cast<size_t>(kind)];
  }

  // Calls visit(index, record) for the first `limit` records of the logical array, as far as they are
  // in the file. Returns how many of the first `limit` are not.
  template <typename Record, typename Visitor>
  uint64_t Visit(format::ChunkKind kind, uint64_t limit, Visitor visit) const {
    constexpr uint64_t kPerChunk = format::kChunkBytes / sizeof(Record);
    uint64_t first = 0;
    uint64_t visited = 0;
    for (const std::span<const std::byte> chunk : Chunks(kind)) {
      for (uint64_t i = 0; i < chunk.size() / sizeof(Record) && first + i < limit; ++i, ++visited) {
        Record record;
        std::memcpy(&record, chunk.data() + i * sizeof(Record), sizeof(Record));
        visit(first + i, record);
      }
      first += kPerChunk;
    }
    return limit - visited;
  }
  // All records of a kind.
  template <typename Record, typename Visitor>
  void VisitAll(format::ChunkKind kind, Visitor visit) const {
    Visit<Record>(kind, ~uint64_t{0}, visit);
  }

 private:
  explicit Layout(std::span<const std::byte> file) : file_(file) {}
  void ReadHeader(Losses* losses);
  void CheckGeometry(Losses* losses);
  void ReadDirectory(Losses* losses);
  void Place(uint64_t index, uint32_t entry, Losses* losses);
  // The part of [offset, offset + bytes) that is in the file.
  std::span<const std::byte> Part(uint64_t offset, uint64_t bytes) const;

  std::span<const std::byte> file_;
  format::Header header_{};
  std::array<std::vector<std::span<const std::byte>>, format::kChunkKinds> chunks_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_READER_LAYOUT_H_
