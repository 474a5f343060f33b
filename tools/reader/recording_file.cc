#include "tools/reader/recording_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>

#include "libmemtrace/format/recording.h"
#include "tools/common/progress.h"
#include "tools/reader/jemalloc_profile.h"

namespace memtrace::tools {
namespace {

// Every chunk that the directory can name, and a front that is far larger than any writer's.
constexpr size_t kLargestFile = size_t{format::kMaxChunks} * format::kChunkBytes + (size_t{64} << 20);

class Descriptor {
 public:
  explicit Descriptor(int fd, bool owned) : fd_(fd), owned_(owned) {}
  ~Descriptor() {
    if (owned_ && fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
  bool owned_;
};

Error Unreadable(const std::string& name, int error) {
  const char* advice = error == EACCES ? "; what a program recorded only its user and root may read" : "";
  return {ErrorCode::kUnreadable, "cannot read " + name, std::string(std::strerror(error)) + advice};
}

// Appends up to `limit` bytes. False on failure, with errno set.
bool Append(int fd, size_t limit, ProgressStage* progress, std::vector<std::byte>* bytes) {
  constexpr size_t kStep = size_t{1} << 20;
  while (limit > 0) {
    const size_t begin = bytes->size();
    bytes->resize(begin + std::min(limit, kStep));
    const ssize_t n = read(fd, bytes->data() + begin, bytes->size() - begin);
    bytes->resize(begin + (n > 0 ? static_cast<size_t>(n) : 0));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) return true;
    limit -= static_cast<size_t>(n);
    progress->Advance(static_cast<uint64_t>(n));
  }
  return true;
}

bool HasMagic(const std::vector<std::byte>& bytes) {
  const std::string_view begin(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return begin.starts_with(std::string_view(format::kMagic, sizeof(format::kMagic))) || IsJemallocProfile(begin);
}

// Reads `size` bytes at `offset` over those that are there. What cannot be read stays as it was.
void Reread(int fd, uint64_t offset, uint64_t size, std::vector<std::byte>* bytes) {
  if (offset > bytes->size() || size > bytes->size() - offset) return;
  const ssize_t n = pread(fd, bytes->data() + offset, size, static_cast<off_t>(offset));
  static_cast<void>(n);
}

// A process that still records adds blocks and counters whose stacks and modules came after we had passed by. Those
// tables only grow, so reading them, and the header's counts, once more makes them cover all that was read before.
void CatchUp(int fd, std::vector<std::byte>* bytes) {
  format::Header header;
  std::memcpy(&header, bytes->data(), sizeof(header));
  if (header.state != static_cast<uint32_t>(format::State::kRunning)) return;
  Reread(fd, 0, sizeof(header), bytes);
  std::memcpy(&header, bytes->data(), sizeof(header));
  const uint64_t entries = std::min(header.chunk_count, format::kMaxChunks);
  Reread(fd, header.directory_offset, entries * sizeof(uint32_t), bytes);
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t at = header.directory_offset + i * sizeof(uint32_t);
    uint32_t entry = 0;
    if (at > bytes->size() || sizeof(entry) > bytes->size() - at) return;
    std::memcpy(&entry, bytes->data() + at, sizeof(entry));
    const format::ChunkKind kind = format::EntryKind(entry);
    if (kind != format::ChunkKind::kNode && kind != format::ChunkKind::kModule) continue;
    Reread(fd, header.front_bytes + i * format::kChunkBytes, format::kChunkBytes, bytes);
  }
}

}  // namespace

Result<RecordingFile> RecordingFile::Read(const std::string& path, std::vector<std::byte>* begin) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path;
  const Descriptor file(standard_input ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC), !standard_input);
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) return Unreadable(name, errno);
  if (S_ISDIR(status.st_mode)) return Unreadable(name, EISDIR);

  try {
    std::vector<std::byte> bytes;
    ProgressStage progress("reading", S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0);
    if (S_ISREG(status.st_mode)) bytes.reserve(std::min(static_cast<size_t>(status.st_size), kLargestFile));
    // The first page decides, so that an endless device is not read to its end.
    if (!Append(file.get(), sizeof(format::Header), &progress, &bytes)) return Unreadable(name, errno);
    if (!HasMagic(bytes)) {
      const Error error{ErrorCode::kNotRecording, name + " is not a memtrace recording",
                        bytes.empty() ? "it is empty" : "it does not begin with MEMTRACE"};
      if (begin != nullptr) *begin = std::move(bytes);
      return error;
    }
    if (!Append(file.get(), kLargestFile, &progress, &bytes)) return Unreadable(name, errno);
    if (S_ISREG(status.st_mode) && bytes.size() > sizeof(format::Header)) {
      CatchUp(file.get(), &bytes);
      if (!Append(file.get(), kLargestFile, &progress, &bytes))
        return Unreadable(name, errno);  // what was added meanwhile
    }
    return RecordingFile(name, std::move(bytes));
  } catch (const std::bad_alloc&) {
    return Unreadable(name, ENOMEM);
  }
}

}  // namespace memtrace::tools
