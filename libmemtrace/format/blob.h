// Variable-length facts of a recording: a stream of blobs over all chunks of ChunkKind::kBlob,
// header.blob_bytes long. Each blob is a BlobHeader, its name, its content, and zeroes up to
// the next multiple of 8. A long content comes as several blobs of the same kind and name, in order.
#ifndef MEMTRACE_FORMAT_BLOB_H_
#define MEMTRACE_FORMAT_BLOB_H_

#include <cstdint>

namespace memtrace::format {

enum class BlobKind : uint32_t {
  kExecutable = 1,  // path of the executable
  kCommand = 2,     // arguments, each ended by a NUL
  kHostname = 3,
  kCgroupPath = 4,      // of the memory controller, as in /proc/self/cgroup
  kProcFile = 5,        // name: "maps", "status", "smaps_rollup", "cgroup", ...
  kCgroupFile = 6,      // name: file name, prefixed by "../" for each level above the process's cgroup
  kCgroupVersion = 7,   // "1" or "2"
  kCgroupLimitDir = 8,  // directory, as the process saw it, of the nearest cgroup with a limit
};

struct BlobHeader {
  uint32_t kind;  // BlobKind
  uint32_t name_bytes;
  uint64_t content_bytes;
};
static_assert(sizeof(BlobHeader) == 16);

constexpr uint64_t BlobBytes(uint64_t name_bytes, uint64_t content_bytes) {
  return (sizeof(BlobHeader) + name_bytes + content_bytes + 7) & ~uint64_t{7};
}

}  // namespace memtrace::format

#endif  // MEMTRACE_FORMAT_BLOB_H_
