#include "tools/reader/layout.h"

#include <fmt/format.h>

#include <algorithm>

namespace memtrace::tools {

using format::Header;

Result<Layout> Layout::Parse(const RecordingFile& file, Losses* losses) {
  Layout layout(file.bytes());
  const std::span<const std::byte> bytes = file.bytes();
  if (bytes.size() < sizeof(Header::magic) || std::memcmp(bytes.data(), format::kMagic, sizeof(Header::magic)) != 0) {
    return Error{ErrorCode::kNotRecording, file.name() + " is not a memtrace recording",
                 bytes.empty() ? "it is empty" : "it does not begin with MEMTRACE"};
  }
  layout.ReadHeader(losses);
  if (layout.header_.version != format::kVersion) {
    const bool damaged = layout.header_.version == 0;
    return Error{
        ErrorCode::kUnknownVersion,
        fmt::format("{} has format version {}, this memtrace-report reads version {}", file.name(),
                    layout.header_.version, format::kVersion),
        damaged ? "its header is damaged" : "use the memtrace-report that belongs to the library that wrote it"};
  }
  layout.CheckGeometry(losses);
  layout.ReadDirectory(losses);
  return layout;
}

std::span<const std::byte> Layout::Part(uint64_t offset, uint64_t bytes) const {
  if (offset >= file_.size()) return {};
  return file_.subspan(offset, std::min<uint64_t>(bytes, file_.size() - offset));
}

void Layout::ReadHeader(Losses* losses) {
  const std::span<const std::byte> bytes = Part(0, sizeof(Header));
  std::memcpy(static_cast<void*>(&header_), bytes.data(), bytes.size());
  losses->Add("bytes of the header are missing", sizeof(Header) - bytes.size());
}

// Version 1 fixes the sizes of chunks and front; a header that says otherwise is damaged, and
// what it must have said can be put back.
void Layout::CheckGeometry(Losses* losses) {
  if (header_.chunk_bytes != format::kChunkBytes) losses->Add("damaged header fields (chunk_bytes)");
  header_.chunk_bytes = format::kChunkBytes;
  if (header_.max_chunks > format::kMaxChunks) {
    losses->Add("damaged header fields (max_chunks)");
    header_.max_chunks = format::kMaxChunks;
  }
  if (header_.timeline_capacity > format::kMaxTimelinePoints) {
    losses->Add("damaged header fields (timeline_capacity)");
    header_.timeline_capacity = format::kMaxTimelinePoints;
  }
  if (header_.thread_buffer_bytes < format::kThreadBufferBytes || header_.thread_buffer_bytes > format::kChunkBytes) {
    losses->Add("thread buffers (the header lies about their size)", std::max(header_.thread_count, 1u));
    header_.thread_count = 0;
  }
}

void Layout::ReadDirectory(Losses* losses) {
  const uint64_t claimed = std::min(header_.chunk_count, header_.max_chunks);
  if (header_.chunk_count > header_.max_chunks) losses->Add("damaged header fields (chunk_count)");
  // An entry may be published before chunk_count is: a file that was torn off in between still has
  // the chunk, so the whole directory is looked at.
  const std::span<const std::byte> directory =
      Part(header_.directory_offset, uint64_t{header_.max_chunks} * sizeof(uint32_t));
  const uint64_t entries = directory.size() / sizeof(uint32_t);
  if (entries < claimed) losses->Add("chunks without a directory entry", claimed - entries);
  for (uint64_t i = 0; i < entries; ++i) {
    uint32_t entry;
    std::memcpy(&entry, directory.data() + i * sizeof(entry), sizeof(entry));
    if (entry != 0) Place(i, entry, losses);
  }
}

void Layout::Place(uint64_t index, uint32_t entry, Losses* losses) {
  const auto kind = static_cast<size_t>(format::EntryKind(entry));
  const uint32_t ordinal = format::EntryOrdinal(entry);
  if (kind == 0 || kind >= chunks_.size() || ordinal >= header_.max_chunks) {
    losses->Add("chunks with a damaged directory entry");
    return;
  }
  uint64_t offset;
  if (__builtin_add_overflow(header_.front_bytes, index * format::kChunkBytes, &offset)) offset = file_.size();
  const std::span<const std::byte> chunk = Part(offset, format::kChunkBytes);
  if (chunk.size() < format::kChunkBytes) {
    losses->Add("bytes of the tables (the file is truncated)", format::kChunkBytes - chunk.size());
  }
  // Stacks fill an array without holes: the k-th chunk comes with k others. Memory must not follow a number that
  // somebody wrote.
  const bool is_array = static_cast<format::ChunkKind>(kind) == format::ChunkKind::kNode;
  if (is_array && !chunk.empty() && ordinal > file_.size() / format::kChunkBytes) {
    losses->Add("chunks with a damaged directory entry");
    return;
  }
  std::vector<std::span<const std::byte>>& array = chunks_[kind];
  if (array.size() <= ordinal) array.resize(size_t{ordinal} + 1);
  if (!array[ordinal].empty()) {
    losses->Add("chunks with a duplicate directory entry");
    return;
  }
  array[ordinal] = chunk;
}

std::vector<format::TimelinePoint> Layout::Timeline() const {
  const std::span<const std::byte> bytes =
      Part(header_.timeline_offset, header_.timeline_capacity * sizeof(format::TimelinePoint));
  std::vector<format::TimelinePoint> points(bytes.size() / sizeof(format::TimelinePoint));
  if (!points.empty()) std::memcpy(points.data(), bytes.data(), points.size() * sizeof(points[0]));
  std::erase_if(points, [](const format::TimelinePoint& point) { return point.time_ns == 0; });
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) {
    return a.time_ns != b.time_ns ? a.time_ns < b.time_ns : a.work_bytes < b.work_bytes;
  });
  return points;
}

}  // namespace memtrace::tools
