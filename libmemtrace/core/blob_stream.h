// Writes the blobs of a file (format/blob.h) through a buffer of one chunk.
#ifndef MEMTRACE_CORE_BLOB_STREAM_H_
#define MEMTRACE_CORE_BLOB_STREAM_H_

#include <cstdint>

#include "libmemtrace/format/blob.h"
#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/text.h"

namespace memtrace::core {

class BlobStream {
 public:
  // Takes a full chunk away. False: it could not be written, the stream stops.
  using Flush = bool (*)(void* context, const uint8_t* chunk);

  // `chunk` holds kChunkBytes, of which `used` are already filled; `stream_bytes` is the length of the stream so far.
  BlobStream(uint8_t* chunk, uint64_t used, uint64_t stream_bytes, Flush flush, void* context)
      : chunk_(chunk), used_(used), stream_bytes_(stream_bytes), flush_(flush), context_(context) {}

  void Add(format::BlobKind kind, rt::Text name, rt::Text content);
  // The file up to `most_bytes`, in as many blobs of that name as `buffer` makes pieces of it. Nothing if it cannot be
  // read, is empty or a link.
  void AddFile(format::BlobKind kind, rt::Text name, const char* path, char* buffer, uint64_t capacity,
               uint64_t most_bytes = ~uint64_t{0});
  void AddOpenFile(format::BlobKind kind, rt::Text name, int fd, char* buffer, uint64_t capacity, uint64_t most_bytes);
  // A part of a stream that exists already.
  void AddRaw(const void* data, uint64_t size) { Append(data, size); }
  // Flushes what is left, padded with zeroes.
  void Finish();

  uint64_t stream_bytes() const { return stream_bytes_; }
  bool ok() const { return ok_; }

 private:
  void Append(const void* data, uint64_t size);

  uint8_t* chunk_;
  uint64_t used_;
  uint64_t stream_bytes_;
  Flush flush_;
  void* context_;
  bool ok_ = true;
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_BLOB_STREAM_H_
