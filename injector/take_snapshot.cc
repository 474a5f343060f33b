#include "injector/take_snapshot.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "injector/container_root.h"
#include "injector/process_memory.h"
#include "libmemtrace/core/snapshot_writer.h"
#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/cgroup.h"

namespace memtrace::injector {
namespace {

// A recording mapped for reading. The process may still be writing it.
class MappedRecording {
 public:
  static std::unique_ptr<MappedRecording> Open(const Descriptor& file) {
    const int fd = file.get();
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

// The recording and its directory, each held open: wherever their paths may lead a moment later, these are the ones.
struct Place {
  Descriptor file;
  Descriptor directory;
  std::string shown;  // the directory as seen from here
};

bool IsSameFile(const struct stat& one, const struct stat& other) {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

std::string DirectoryOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// A mapped file by its path: as the process sees it, or, of a process in a chroot, as we do. Shown as we see it if that
// is the same file.
std::optional<Place> Find(pid_t pid, const SharedMapping& mapping) {
  const std::string proc = "/proc/" + std::to_string(pid);
  struct stat mapped {};
  const bool known = stat((proc + "/map_files/" + mapping.range).c_str(), &mapped) == 0;
  std::optional<Place> place;
  for (const std::string& root : {proc + "/root", std::string("/")}) {
    const ContainerRoot tree(root);
    Descriptor file = tree.OpenFile(mapping.path);
    struct stat status {};
    if (!file.ok() || fstat(file.get(), &status) != 0) continue;
    const bool is_host = root == "/";
    if (!known && is_host && !place) continue;  // some file of that name
    if (known && !IsSameFile(status, mapped)) continue;
    if (!known) mapped = status;
    if (is_host && place && !IsSameFile(status, mapped)) continue;
    const std::string directory = DirectoryOf(mapping.path);
    place = Place{std::move(file), tree.OpenDirectory(directory.empty() ? "/" : directory),
                  (is_host ? "" : root) + directory};
  }
  return place;
}

SnapshotOutcome Failed(std::string message) { return {false, "", std::move(message)}; }

constexpr auto kPatience = std::chrono::seconds(10);  // until the process allocates
constexpr auto kSearchPatience = std::chrono::seconds(70);
constexpr auto kPause = std::chrono::milliseconds(20);

template <typename Condition>
bool Await(Condition condition, std::chrono::seconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

std::optional<format::Header> ReadHeader(int directory, const std::string& name) {
  const Descriptor file(openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  format::Header header{};
  if (!file.ok() || pread(file.get(), &header, sizeof(header), 0) != static_cast<ssize_t>(sizeof(header)))
    return std::nullopt;
  return memcmp(header.magic, format::kMagic, sizeof(header.magic)) == 0 ? std::optional(header) : std::nullopt;
}

// Names of the snapshots with that stem in the directory.
std::set<std::string> SnapshotsOf(const Place& place, const std::string& stem) {
  std::set<std::string> names;
  std::error_code error;
  const std::filesystem::path path = "/proc/self/fd/" + std::to_string(place.directory.get());
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    std::string name = entry.path().filename();
    if (name.starts_with(stem + ".") && name.ends_with(core::kSnapshotEnding.data)) names.insert(std::move(name));
  }
  return names;
}

bool Ask(const Place& place, uint32_t value) {
  const Descriptor file(open(("/proc/self/fd/" + std::to_string(place.file.get())).c_str(), O_WRONLY | O_CLOEXEC));
  return file.ok() && pwrite(file.get(), &value, sizeof(value), offsetof(format::Header, look_wanted)) ==
                          static_cast<ssize_t>(sizeof(value));
}

// The snapshot into the directory that was asked for, under its own name.
std::string MoveTo(const std::string& directory, const Place& place, const std::string& name) {
  const std::string from = "/proc/self/fd/" + std::to_string(place.directory.get()) + "/" + name;
  std::error_code error;
  std::filesystem::copy_file(from, directory + "/" + name, error);
  if (error) return error.message();
  std::filesystem::remove(from, error);
  return "";
}

// The process takes the snapshot; we wait until it says what was found, or why it could not look.
SnapshotOutcome AskForLostBlocks(const SnapshotOrder& order, const Place& place, const std::string& stem) {
  const std::set<std::string> before = SnapshotsOf(place, stem);
  if (!Ask(place, 1)) return Failed("cannot write to the recording of process " + order.pid + ": " + strerror(errno));
  std::string name;
  const auto appeared = [&] {
    for (const std::string& candidate : SnapshotsOf(place, stem)) {
      const auto header = before.contains(candidate) ? std::nullopt : ReadHeader(place.directory.get(), candidate);
      if (header && header->look != static_cast<uint32_t>(format::LookState::kNone)) name = candidate;
    }
    return !name.empty();
  };
  if (!Await(appeared, kPatience)) {
    Ask(place, 0);
    return Failed("process " + order.pid + " has not allocated anything for " + std::to_string(kPatience.count()) +
                  " s, and it looks for lost blocks only then. Give it something to do, or start it with " +
                  "MEMTRACE_REACHABILITY=1 and send it the snapshot signal");
  }
  const auto settled = [&] {
    const auto header = ReadHeader(place.directory.get(), name);
    return !header || header->look != static_cast<uint32_t>(format::LookState::kUnderWay);
  };
  Await(settled, kSearchPatience);  // else the report says that the search had not ended
  const bool beside = order.directory.empty();
  const std::string shown = (beside ? place.shown : order.directory) + "/" + name;
  const std::string trouble = beside ? "" : MoveTo(order.directory, place, name);
  if (!trouble.empty()) return Failed("cannot write " + Printable(shown, 1024) + ": " + trouble);
  return {true, shown, ""};
}

}  // namespace

SnapshotOutcome TakeSnapshotOf(const SnapshotOrder& order) {
  const std::string proc = "/proc/" + order.pid;
  const pid_t pid = static_cast<pid_t>(strtol(order.pid.c_str(), nullptr, 10));
  if (access(proc.c_str(), F_OK) != 0) return Failed(NoSuchProcess(order.pid));
  const auto mappings = SharedMappings(proc);
  const ContainerRoot root = ContainerRoot::OfProcess(pid);
  if (!mappings || !root.ok()) {
    return Failed("process " + order.pid + " may not be read: " + strerror(errno) +
                  "; run as the same user or as root (in a container: with CAP_SYS_PTRACE)");
  }
  for (const SharedMapping& mapping : *mappings) {
    const std::optional<Place> found = Find(pid, mapping);
    const auto recording = found ? MappedRecording::Open(found->file) : nullptr;
    if (recording == nullptr) continue;
    if (order.reachability) {
      std::string stem = mapping.path.substr(mapping.path.rfind('/') + 1);
      stem.resize(stem.size() - core::kRecordingEnding.size);
      return AskForLostBlocks(order, *found, stem);
    }
    const bool beside = order.directory.empty();
    const Descriptor elsewhere(beside ? -1 : open(order.directory.c_str(), O_PATH | O_CLOEXEC));
    const std::string place = "/proc/self/fd/" + std::to_string(beside ? found->directory.get() : elsewhere.get());
    std::string stem = place + mapping.path.substr(mapping.path.rfind('/'));
    stem.resize(stem.size() - core::kRecordingEnding.size);
    rt::Cgroup cgroup;
    rt::FindCgroup(proc.c_str(), "", &cgroup);
    const Descriptor names = root.OpenFile("/tmp/perf-" + std::to_string(recording->header().pid) + ".map");
    std::vector<uint8_t> workspace(core::kSnapshotWorkspaceBytes);
    rt::TextBuffer<1024> written;
    const int result = core::WriteSnapshot(
        {recording->data(), recording->bytes(), proc.c_str(), &cgroup, rt::Text(stem.data(), stem.size()),
         recording->header().snapshots_taken + 1, format::Trigger::kRequest, 0, workspace.data(), names.get()},
        &written);
    const std::string shown =
        (beside ? found->shown : order.directory) + std::string(written.c_str()).substr(place.size());
    if (result != 0) return Failed("cannot write " + Printable(shown, 1024) + ": " + strerror(-result));
    return {true, shown, ""};
  }
  return Failed("process " + order.pid + " is not recorded: it has no recording mapped. Begin with `memtrace attach " +
                order.pid + "`, or start it with `memtrace run`");
}

}  // namespace memtrace::injector
