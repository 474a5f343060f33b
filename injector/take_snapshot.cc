#include "injector/take_snapshot.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <vector>

#include "libmemtrace/core/snapshot_writer.h"
#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/cgroup.h"

namespace memtrace::injector {
namespace {

// A recording mapped for reading. The process may still be writing it.
class MappedRecording {
 public:
  static std::unique_ptr<MappedRecording> Open(const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return nullptr;
    format::Header header{};
    struct stat status {};
    const bool valid = pread(fd, &header, sizeof(header), 0) == static_cast<ssize_t>(sizeof(header)) &&
                       memcmp(header.magic, format::kMagic, sizeof(header.magic)) == 0 &&
                       header.version == format::kVersion && header.chunk_bytes == format::kChunkBytes &&
                       header.max_chunks <= format::kMaxChunks && header.front_bytes <= kLargestFront &&
                       header.directory_offset + uint64_t{header.max_chunks} * sizeof(uint32_t) <= header.front_bytes &&
                       fstat(fd, &status) == 0 &&
                       header.front_bytes + uint64_t{header.chunk_count} * format::kChunkBytes <=
                           static_cast<uint64_t>(status.st_size);
    // All that it may become: it grows while we read. The writer looks at no chunk that is not there yet.
    const uint64_t bytes = header.front_bytes + uint64_t{header.max_chunks} * format::kChunkBytes;
    void* data = valid ? mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    if (data == MAP_FAILED) return nullptr;
    return std::unique_ptr<MappedRecording>(new MappedRecording(data, bytes));
  }
  ~MappedRecording() { munmap(data_, bytes_); }
  MappedRecording(const MappedRecording&) = delete;
  MappedRecording& operator=(const MappedRecording&) = delete;

  const uint8_t* data() const { return static_cast<const uint8_t*>(data_); }
  const format::Header& header() const { return *static_cast<const format::Header*>(data_); }
  uint64_t bytes() const { return bytes_; }

 private:
  static constexpr uint64_t kLargestFront = 1 << 20;

  MappedRecording(void* data, uint64_t bytes) : data_(data), bytes_(bytes) {}

  void* data_;
  uint64_t bytes_;
};

struct SharedMapping {
  std::string range;  // its name in /proc/PID/map_files
  std::string path;   // as the process sees it; of a process in a chroot, as we see it
};

// Files that the process has mapped shared and writable: "start-end rw-s offset device inode path".
std::optional<std::vector<SharedMapping>> SharedMappings(const std::string& proc) {
  std::ifstream maps(proc + "/maps");
  if (!maps) return std::nullopt;
  std::vector<SharedMapping> mappings;
  for (std::string line; std::getline(maps, line);) {
    const size_t flags = line.find(" rw-s ");
    const size_t slash = line.find('/');
    if (flags == std::string::npos || slash == std::string::npos) continue;
    const std::string path = line.substr(slash);
    if (path.ends_with(".rec") && (mappings.empty() || mappings.back().path != path)) {
      mappings.push_back({line.substr(0, line.find(' ')), path});
    }
  }
  return mappings;
}

bool IsSameFile(const std::string& one, const std::string& other) {
  struct stat first {};
  struct stat second {};
  return stat(one.c_str(), &first) == 0 && stat(other.c_str(), &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

// The process's own path if it names the same file here, else the one through /proc/PID/root.
std::string PathFromHere(const std::string& proc, const SharedMapping& mapping) {
  const std::string through_root = proc + "/root" + mapping.path;
  const bool here =
      IsSameFile(mapping.path, through_root) || IsSameFile(mapping.path, proc + "/map_files/" + mapping.range);
  return here ? mapping.path : through_root;
}

SnapshotOutcome Failed(std::string message) { return {false, "", std::move(message)}; }

}  // namespace

SnapshotOutcome TakeSnapshotOf(const SnapshotOrder& order) {
  const std::string proc = "/proc/" + order.pid;
  if (access(proc.c_str(), F_OK) != 0) return Failed("there is no process " + order.pid);
  const auto mappings = SharedMappings(proc);
  if (!mappings || access((proc + "/root").c_str(), F_OK) != 0) {
    return Failed("process " + order.pid + " may not be read: " + strerror(errno) +
                  "; run as the same user or as root (in a container: with CAP_SYS_PTRACE)");
  }
  for (const SharedMapping& mapping : *mappings) {
    const std::string& path = mapping.path;
    const std::string visible = PathFromHere(proc, mapping);
    const auto recording = MappedRecording::Open(visible);
    if (recording == nullptr) continue;
    std::string stem = order.directory.empty() ? visible : order.directory + path.substr(path.rfind('/'));
    stem.resize(stem.size() - core::kRecordingEnding.size);
    rt::Cgroup cgroup;
    rt::FindCgroup(proc.c_str(), "", &cgroup);
    std::vector<uint8_t> workspace(core::kSnapshotWorkspaceBytes);
    rt::TextBuffer<1024> written;
    const int result = core::WriteSnapshot(
        {recording->data(), recording->bytes(), proc.c_str(), &cgroup, rt::Text(stem.data(), stem.size()),
         recording->header().snapshots_taken + 1, format::Trigger::kRequest, 0, workspace.data()},
        &written);
    if (result != 0) return Failed("cannot write " + stem + ".NNNN.snap: " + strerror(-result));
    return {true, written.c_str(), ""};
  }
  return Failed("process " + order.pid +
                " is not recorded: it has no recording mapped. Start it with `memtrace run` or with " +
                "LD_PRELOAD set to the path that `memtrace lib` prints");
}

}  // namespace memtrace::injector
