#include "injector/collect/source.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "injector/collect/tar_stream.h"
#include "injector/container_root.h"

namespace memtrace::injector {
namespace {

constexpr int kMostFiles = 4096;

class ProcessSource : public Source {
 public:
  explicit ProcessSource(pid_t pid) : root_(ContainerRoot::OfProcess(pid)) {}

  int CopyFile(const std::string& path, const std::string& to, uint64_t most_bytes) override {
    const Descriptor file = root_.OpenFile(path);
    return file.ok() ? injector::CopyFile(file, to, most_bytes) : errno;
  }

  int CopyFiles(const std::string& directory, const std::function<bool(const std::string&)>& wants,
                const std::string& to, uint64_t most_bytes) override {
    const Descriptor opened = root_.OpenDirectory(directory);
    DIR* listing = opened.ok() ? fdopendir(dup(opened.get())) : nullptr;
    if (listing == nullptr) return -1;
    int count = 0;
    while (const dirent* entry = readdir(listing)) {
      const std::string name = entry->d_name;
      if (!wants(name) || count == kMostFiles) continue;
      // Of this very directory, and no link.
      const Descriptor found(openat(opened.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      const Descriptor file = OpenHeld(found);
      struct stat status {};
      if (!file.ok() || fstat(file.get(), &status) != 0) continue;
      const auto size = static_cast<uint64_t>(status.st_size);
      if (size > most_bytes || injector::CopyFile(file, to + "/" + name, most_bytes) != 0) continue;
      most_bytes -= size;
      ++count;
    }
    closedir(listing);
    return count;
  }

 private:
  ContainerRoot root_;
};

class ContainerSource : public Source {
 public:
  ContainerSource(std::string runtime, std::string name) : runtime_(std::move(runtime)), name_(std::move(name)) {}

  int CopyFile(const std::string& path, const std::string& to, uint64_t most_bytes) override {
    bool taken = false;
    // Of a link: what it points to, as the runtime resolves it inside of the container.
    const bool ok = ReadTar({runtime_, "cp", "-L", name_ + ":" + path, "-"}, most_bytes,
                            [&](const std::string&) { return taken ? "" : (taken = true, to); });
    return ok && taken ? 0 : ENOENT;
  }

  int CopyFiles(const std::string& directory, const std::function<bool(const std::string&)>& wants,
                const std::string& to, uint64_t most_bytes) override {
    int count = 0;
    const bool ok = ReadTar({runtime_, "cp", name_ + ":" + directory, "-"}, most_bytes, [&](const std::string& path) {
      // DIRECTORY/NAME, nothing deeper.
      const std::string name = path.substr(path.rfind('/') + 1);
      const bool flat = std::count(path.begin(), path.end(), '/') == 1;
      return flat && wants(name) && count < kMostFiles ? (++count, to + "/" + name) : "";
    });
    return ok || count > 0 ? count : -1;
  }

 private:
  std::string runtime_;
  std::string name_;
};

}  // namespace

std::unique_ptr<Source> SourceOfProcess(pid_t pid) { return std::make_unique<ProcessSource>(pid); }

std::unique_ptr<Source> SourceOfContainer(const std::string& runtime, const std::string& name) {
  return std::make_unique<ContainerSource>(runtime, name);
}

}  // namespace memtrace::injector
