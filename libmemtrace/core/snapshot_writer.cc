#include "libmemtrace/core/snapshot_writer.h"

#include <asm/errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "libmemtrace/core/blob_stream.h"
#include "libmemtrace/core/recording.h"
#include "libmemtrace/rt/os.h"
#include "libmemtrace/rt/syscall.h"

namespace memtrace::core {
namespace {

using format::ChunkKind;
using format::kChunkBytes;
using rt::Address;
using rt::Syscall;

constexpr int kSyncWrite = 2;  // SYNC_FILE_RANGE_WRITE

// Files of /proc/PID that a post-mortem wants.
constexpr rt::Text kProcFiles[] = {"status", "maps", "cgroup", "limits", "oom_score_adj"};
// For this the kernel walks the page tables, 25 ms for each GiB that is resident: not in a thread of the program.
constexpr rt::Text kRollup = "smaps_rollup";

// The snapshot under construction: chunks in the order in which they were copied, the front last.
class Writer {
 public:
  Writer(const SnapshotRequest& request, int fd)
      : request_(request),
        source_(*reinterpret_cast<const format::Header*>(request.recording)),
        directory_offset_(Load(source_.directory_offset)),
        source_front_bytes_(Load(source_.front_bytes)),
        max_chunks_(Load(source_.max_chunks)),
        directory_(reinterpret_cast<const uint32_t*>(request.recording + directory_offset_)),
        fd_(fd) {
    const uint64_t entries = max_chunks_ + uint64_t{kExtraChunks} + ChunksNow();
    front_bytes_ = (directory_offset_ + entries * sizeof(uint32_t) + kChunkBytes - 1) / kChunkBytes * kChunkBytes;
  }

  // From outside the file is not trusted, and may be changed at any moment: what places are computed from is read once,
  // above, and holds here.
  bool IsSound() const {
    return directory_offset_ >= sizeof(format::Header) && directory_offset_ % sizeof(uint64_t) == 0 &&
           max_chunks_ <= format::kMaxChunks && source_front_bytes_ <= request_.recording_bytes &&
           directory_offset_ <= source_front_bytes_ &&
           max_chunks_ <= (source_front_bytes_ - directory_offset_) / sizeof(uint32_t) &&
           front_bytes_ <= uint64_t{8} << 20;
  }

  bool Write() {
    if (!IsSound()) return false;
    front_ = rt::MapAnonymous(front_bytes_);
    if (front_ == nullptr || Syscall(__NR_lseek, fd_, static_cast<long>(front_bytes_), 0) < 0) return false;
    const bool ok = WriteBlobs() && WriteChunks() && WriteFront();
    rt::Unmap(front_, front_bytes_);
    return ok;
  }

 private:
  static constexpr uint32_t kExtraChunks = 1024;  // blobs of this moment: 64 MiB
  static constexpr uint32_t kDropChunks = 32;     // 2 MiB

  uint32_t ChunksNow() const {
    const uint32_t count = Load(source_.chunk_count, std::memory_order_acquire);
    return count < max_chunks_ ? count : max_chunks_;
  }
  uint32_t* entries() const { return reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(front_) + directory_offset_); }
  const uint8_t* ChunkData(uint32_t chunk) const {
    return request_.recording + source_front_bytes_ + uint64_t{chunk} * kChunkBytes;
  }
  bool Mapped(uint32_t chunk) const {
    return source_front_bytes_ + (uint64_t{chunk} + 1) * kChunkBytes <= request_.recording_bytes;
  }

  bool Put(ChunkKind kind, uint32_t ordinal, const uint8_t* data) {
    if (chunks_ >= (front_bytes_ - directory_offset_) / sizeof(uint32_t)) return false;
    entries()[chunks_++] = format::ChunkEntry(kind, ordinal);
    // Where pages were reclaimed: one read instead of one for each page.
    Syscall(__NR_madvise, Address(data), kChunkBytes, MADV_WILLNEED);
    if (rt::WriteAll(fd_, data, kChunkBytes) != 0) return false;
    if (request_.trigger == format::Trigger::kThreshold && chunks_ % kDropChunks == 0) DropBehind();
    return true;
  }

  // Near the limit the pages of a snapshot would push those of the recording out: what was written goes to the disk,
  // and what was written a step before leaves the memory.
  void DropBehind() {
    constexpr long kStepBytes = static_cast<long>(kDropChunks * kChunkBytes);
    constexpr int kSyncWaitAndWrite = 1 | 2 | 4;
    const long end = static_cast<long>(front_bytes_ + chunks_ * kChunkBytes);
    const long done = end - 2 * kStepBytes;
    Syscall(__NR_sync_file_range, fd_, end - kStepBytes, kStepBytes, kSyncWrite);
    if (done < static_cast<long>(front_bytes_)) return;
    Syscall(__NR_sync_file_range, fd_, done, kStepBytes, kSyncWaitAndWrite);
    Syscall(__NR_fadvise64, fd_, done, kStepBytes, POSIX_FADV_DONTNEED);
  }

  // Chunks of one kind in ascending order, those that appear meanwhile too.
  bool Copy(ChunkKind kind, uint32_t first_ordinal = 0) {
    for (uint32_t chunk = 0; chunk < ChunksNow() && Mapped(chunk); ++chunk) {
      const uint32_t entry = Load(directory_[chunk], std::memory_order_acquire);
      if (format::EntryKind(entry) != kind) continue;
      if (!Put(kind, first_ordinal + format::EntryOrdinal(entry), ChunkData(chunk))) return false;
    }
    return true;
  }

  // A split moves blocks upwards, from buckets or their overflow to a new last bucket or its overflow. So the live
  // table is copied upwards, and the overflow before and after it; what refers to nothing else comes before what is
  // referred to.
  bool WriteChunks() {
    const uint32_t copy_ordinals =
        max_chunks_;  // out of the way of the second copy's, and below the snapshot's max_chunks
    return Copy(ChunkKind::kOverflow, copy_ordinals) && Copy(ChunkKind::kLive) && Copy(ChunkKind::kOverflow) &&
           Copy(ChunkKind::kThread) && Copy(ChunkKind::kColumn) && Copy(ChunkKind::kSite) && Copy(ChunkKind::kNode) &&
           Copy(ChunkKind::kModule);
  }

  // The blobs of the recording, then the present state of the process and the cgroup; read before anything is
  // written that would change it.
  bool WriteBlobs() {
    uint8_t* chunk = request_.workspace;
    const uint64_t known = Load(source_.blob_bytes, std::memory_order_acquire);
    BlobStream stream(chunk, 0, 0, &Writer::FlushBlobs, this);
    CopyKnownBlobs(known, &stream);
    char* buffer = reinterpret_cast<char*>(request_.workspace + kChunkBytes);
    blobs_ = &stream;
    if (request_.cgroup->version != 0) rt::VisitCgroupFiles(*request_.cgroup, &Writer::AddCgroupFile, this);
    for (const rt::Text name : kProcFiles) AddProcFile(name);
    const bool outside = request_.trigger == format::Trigger::kRequest && request_.look == format::LookState::kNone;
    if (outside) AddProcFile(kRollup);
    AddPerfMap(&stream, buffer);
    stream.Finish();
    blob_bytes_ = stream.stream_bytes();
    return stream.ok();
  }

  // Names of code that the process made at run time, where it writes them (a custom of perf).
  void AddPerfMap(BlobStream* stream, char* buffer) const {
    constexpr uint64_t kMostBytes = 8 << 20;
    if (rt::SoftLimit(rt::Limit::kFileSize) != ~uint64_t{0}) return;  // room was counted without it
    if (request_.perf_map < 0) return;
    stream->AddOpenFile(format::BlobKind::kProcFile, "perf.map", request_.perf_map, buffer, kChunkBytes, kMostBytes);
  }

  void CopyKnownBlobs(uint64_t bytes, BlobStream* stream) {
    for (uint32_t chunk = 0; chunk < ChunksNow() && Mapped(chunk) && bytes > 0; ++chunk) {
      if (format::EntryKind(Load(directory_[chunk])) != ChunkKind::kBlob) continue;
      const uint64_t size = bytes < kChunkBytes ? bytes : kChunkBytes;
      stream->AddRaw(ChunkData(chunk), size);
      bytes -= size;
    }
  }

  static bool FlushBlobs(void* self, const uint8_t* chunk) {
    auto* writer = static_cast<Writer*>(self);
    return writer->Put(ChunkKind::kBlob, writer->blob_chunks_++, chunk);
  }

  void AddProcFile(rt::Text name) {
    rt::TextBuffer<256> path;
    path.Add(request_.proc_directory).Add('/').Add(name);
    char* buffer = reinterpret_cast<char*>(request_.workspace + kChunkBytes);
    blobs_->AddFile(format::BlobKind::kProcFile, name, path.c_str(), buffer, kChunkBytes);
  }

  static void AddCgroupFile(void* self, rt::Text name, const char* path) {
    auto* writer = static_cast<Writer*>(self);
    char* buffer = reinterpret_cast<char*>(writer->request_.workspace + kChunkBytes);
    writer->blobs_->AddFile(format::BlobKind::kCgroupFile, name, path, buffer, kChunkBytes);
  }

  bool WriteFront() {
    const auto* from = reinterpret_cast<const uint64_t*>(request_.recording);  // word by word: none is torn
    auto* to = static_cast<uint64_t*>(front_);
    for (uint64_t i = 0; i < directory_offset_ / sizeof(uint64_t); ++i) to[i] = Load(from[i]);
    auto* h = static_cast<format::Header*>(front_);
    h->front_bytes = front_bytes_;
    h->max_chunks = static_cast<uint32_t>((front_bytes_ - directory_offset_) / sizeof(uint32_t));
    h->chunk_count = chunks_;
    h->blob_bytes = blob_bytes_;
    h->state = static_cast<uint32_t>(format::State::kSnapshot);
    h->trigger = static_cast<uint32_t>(request_.trigger);
    h->trigger_percent = request_.trigger_percent;
    h->snapshot_number = request_.number;
    h->look = static_cast<uint32_t>(request_.look);
    h->end_ns = rt::NowNanoseconds(rt::Clock::kRealtime);
    return Syscall(__NR_lseek, fd_, 0, 0) == 0 && rt::WriteAll(fd_, front_, front_bytes_) == 0;
  }

  const SnapshotRequest& request_;
  const format::Header& source_;
  const uint64_t directory_offset_;
  const uint64_t source_front_bytes_;
  const uint32_t max_chunks_;
  const uint32_t* directory_;
  int fd_;
  uint64_t front_bytes_;
  void* front_ = nullptr;
  uint32_t chunks_ = 0;
  uint32_t blob_chunks_ = 0;
  uint64_t blob_bytes_ = 0;
  BlobStream* blobs_ = nullptr;
};

}  // namespace

namespace {

int WriteFile(const SnapshotRequest& request, const char* path) {
  rt::FileIdentity existing;
  if (rt::IdentifyPath(path, &existing)) return -EEXIST;
  rt::TextBuffer<1024> temporary;
  temporary.Add(path).Add(".tmp");
  const int fd = rt::Open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (fd < 0) return fd;
  const bool whole = Writer(request, fd).Write();
  // Starts writing back, so that the pages are soon clean and the cgroup can have them again.
  Syscall(__NR_sync_file_range, fd, 0, 0, kSyncWrite);
  rt::Close(fd);
  const int result = whole ? rt::RenameNoReplace(temporary.c_str(), path) : -ENOSPC;
  if (result != 0) rt::Unlink(temporary.c_str());
  return result;
}

}  // namespace

int OpenPerfMap(uint32_t pid) {
  rt::TextBuffer<64> path;
  path.Add("/tmp/perf-").AddUint(pid).Add(".map");
  return rt::Open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

int WriteSnapshot(SnapshotRequest request, rt::TextBuilder* path) {
  constexpr uint64_t kAllowance = 4 << 20;  // blobs, chains that are copied twice, growth meanwhile
  constexpr uint32_t kMostNumbers = 9999;
  const auto& source = *reinterpret_cast<const format::Header*>(request.recording);
  const uint64_t used = source.front_bytes + uint64_t{Load(source.chunk_count)} * kChunkBytes;
  // Beyond the limit a write would send SIGXFSZ to the program.
  if (used + used / 2 + kAllowance > rt::SoftLimit(rt::Limit::kFileSize)) return -EFBIG;
  int result = -EEXIST;
  for (; request.number <= kMostNumbers && result == -EEXIST; ++request.number) {
    path->Clear();
    path->Add(request.stem).Add('.').AddUint(request.number, 10, 4).Add(kSnapshotEnding);
    result = WriteFile(request, path->c_str());
  }
  return result;
}

}  // namespace memtrace::core
