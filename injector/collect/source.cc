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

  Copied CopyFiles(const std::string& directory, const std::function<bool(const std::string&)>& wants,
                   const std::string& to, uint64_t most_bytes) override {
    const Descriptor opened = root_.OpenDirectory(directory);
    DIR* listing = opened.ok() ? fdopendir(dup(opened.get())) : nullptr;
    if (listing == nullptr) return {};
    Copied copied;
    while (const dirent* entry = readdir(listing)) {
      const std::string name = entry->d_name;
      if (!wants(name) || copied.count == kMostFiles) continue;
      // Of this very directory, and no link.
      const Descriptor found(openat(opened.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      const Descriptor file = OpenHeld(found);
      struct stat status {};
      if (!file.ok() || fstat(file.get(), &status) != 0) continue;
      const auto size = static_cast<uint64_t>(status.st_size);
      const int error = size > most_bytes ? EFBIG : injector::CopyFile(file, to + "/" + name, most_bytes);
      if (error != 0) {
        if (size <= most_bytes && error != EEXIST) unlink((to + "/" + name).c_str());
        copied.error = error;
        continue;
      }
      most_bytes -= size;
      ++copied.count;
    }
    closedir(listing);
    return copied;
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
    int error = 0;
    const bool ok = ReadTar(
        {runtime_, "cp", "-L", name_ + ":" + path, "-"}, most_bytes,
        [&](const std::string&) { return taken ? "" : (taken = true, to); }, &error);
    return error != 0 ? error : ok && taken ? 0 : ENOENT;
  }

  Copied CopyFiles(const std::string& directory, const std::function<bool(const std::string&)>& wants,
                   const std::string& to, uint64_t most_bytes) override {
    Copied copied;
    const auto place = [&](const std::string& path) {
      // DIRECTORY/NAME, nothing deeper.
      const std::string name = path.substr(path.rfind('/') + 1);
      const bool flat = std::count(path.begin(), path.end(), '/') == 1;
      return flat && wants(name) && copied.count < kMostFiles ? (++copied.count, to + "/" + name) : "";
    };
    ReadTar({runtime_, "cp", name_ + ":" + directory, "-"}, most_bytes, place, &copied.error);
    if (copied.error != 0 && copied.count > 0) --copied.count;
    return copied;
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
