// The readers of /proc and of cgroup files. The input is split at bytes 0xff into the files of a small tree.
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <string_view>

#include "libmemtrace/rt/cgroup.h"
#include "libmemtrace/unwind/maps.h"

namespace {

using namespace memtrace;

constexpr std::array kFolders = {"/proc", "/proc/self", "/sys", "/sys/fs", "/sys/fs/cgroup", "/sys/fs/cgroup/memory"};
constexpr std::array kFiles = {"/proc/self/cgroup",
                               "/proc/self/mountinfo",
                               "/sys/fs/cgroup/memory.max",
                               "/sys/fs/cgroup/memory.current",
                               "/sys/fs/cgroup/memory.stat",
                               "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                               "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                               "/sys/fs/cgroup/memory/memory.stat"};

struct Tree {
  std::string root;
  Tree() {
    const char* memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    root = std::string(memory) + "/memtrace-fuzz-" + std::to_string(getpid());
    mkdir(root.c_str(), 0700);
    for (const char* folder : kFolders) mkdir((root + folder).c_str(), 0700);
  }
  ~Tree() {
    for (const char* file : kFiles) unlink((root + file).c_str());
    for (size_t i = kFolders.size(); i-- > 0;) rmdir((root + kFolders[i]).c_str());
    rmdir(root.c_str());
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
};

void Write(const std::string& path, std::string_view content) {
  FILE* file = fopen(path.c_str(), "w");
  if (file == nullptr) abort();
  fwrite(content.data(), 1, content.size(), file);
  fclose(file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tree tree;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (const char* file : kFiles) {
    const size_t end = rest.find('\xff');
    Write(tree.root + file, rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  rt::Cgroup cgroup;
  rt::FindCgroup("/proc/self", tree.root.c_str(), &cgroup);
  for (const bool with_stat : {false, true}) {
    rt::MemoryUse use;
    rt::ReadMemoryUse(cgroup, with_stat, &use);
    use.WorkingSetBytes();
  }
  rt::VisitCgroupFiles(
      cgroup,
      [](void*, rt::Text name, const char*) {
        if (name.empty()) abort();
      },
      nullptr);
  rt::LineReader lines((tree.root + kFiles[1]).c_str());
  rt::Text line;
  while (lines.Next(&line)) {
    unwind::Mapping mapping;
    if (unwind::ParseMapping(line, &mapping) && mapping.path.size > line.size) abort();
  }
  return 0;
}
