#include "libmemtrace/core/blob_stream.h"

#include <fcntl.h>

#include "libmemtrace/rt/os.h"

namespace memtrace::core {

void BlobStream::Append(const void* data, uint64_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (uint64_t i = 0; i < size && ok_; ++i) {
    chunk_[used_++] = bytes[i];
    ++stream_bytes_;
    if (used_ < format::kChunkBytes) continue;
    ok_ = flush_(context_, chunk_);
    used_ = 0;
  }
}

void BlobStream::Add(format::BlobKind kind, rt::Text name, rt::Text content) {
  static constexpr uint8_t kZeroes[8] = {};
  const format::BlobHeader header{static_cast<uint32_t>(kind), static_cast<uint32_t>(name.size), content.size};
  const uint64_t padding = format::BlobBytes(name.size, content.size) - sizeof(header) - name.size - content.size;
  Append(&header, sizeof(header));
  Append(name.data, name.size);
  Append(content.data, content.size);
  Append(kZeroes, padding);
}

void BlobStream::AddFile(format::BlobKind kind, rt::Text name, const char* path, char* buffer, uint64_t capacity,
                         uint64_t most_bytes) {
  const int fd = rt::Open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);  // a FIFO would keep us for ever
  if (fd < 0) return;
  AddOpenFile(kind, name, fd, buffer, capacity, most_bytes);
  rt::Close(fd);
}

void BlobStream::AddOpenFile(format::BlobKind kind, rt::Text name, int fd, char* buffer, uint64_t capacity,
                             uint64_t most_bytes) {
  for (uint64_t added = 0; added < most_bytes; added += capacity) {
    const long size = rt::ReadAll(fd, buffer, capacity);
    if (size <= 0) break;
    Add(kind, name, rt::Text(buffer, static_cast<size_t>(size)));
    if (static_cast<uint64_t>(size) < capacity) break;
  }
}

void BlobStream::Finish() {
  if (used_ == 0 || !ok_) return;
  for (uint64_t i = used_; i < format::kChunkBytes; ++i) chunk_[i] = 0;
  ok_ = flush_(context_, chunk_);
  used_ = 0;
}

}  // namespace memtrace::core
