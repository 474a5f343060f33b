// A child process that records itself, with events that the test makes up instead of an interposed allocator.
#ifndef MEMTRACE_TESTS_UNIT_CORE_RECORDED_PROCESS_H_
#define MEMTRACE_TESTS_UNIT_CORE_RECORDED_PROCESS_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libmemtrace/core/events.h"
#include "libmemtrace/core/process.h"
#include "tests/unit/core/scratch_recording.h"
#include "tools/reader/decode.h"

namespace memtrace::core {

// What the interposer does around malloc and free. Blocks are mere addresses.
[[gnu::noinline]] inline void Malloc(uintptr_t address, size_t size) {
  t_state.countdown -= static_cast<int64_t>(size == 0 ? 1 : size);
  if (t_state.countdown > 0) return;
  Allocated(reinterpret_cast<void*>(address), size,
            {reinterpret_cast<uintptr_t>(__builtin_return_address(0)),
             reinterpret_cast<uintptr_t>(__builtin_frame_address(0)) + 2 * sizeof(void*),
             *static_cast<uintptr_t*>(__builtin_frame_address(0))});
}
inline void Free(uintptr_t address) {
  void* block = reinterpret_cast<void*>(address);
  if (g_filter.MayHold(block)) Freed(block);
}

class RecordedProcess {
 public:
  // Runs `body` in a child that records with these variables ("NAME=value"); MEMTRACE_DIR is a directory of this
  // object. Returns the child's wait status. The child does not end in an orderly way unless `body` calls Finish().
  // `before` runs in the child before recording begins.
  int Run(
      std::vector<std::string> variables, const std::function<void()>& body,
      const std::function<void()>& before = [] {}) {
    variables.push_back(std::string("MEMTRACE_DIR=") + tree_.root());
    variables.push_back("MEMTRACE_QUIET=1");
    return RunInChild([&] {
      std::vector<const char*> environment;
      for (const std::string& variable : variables) environment.push_back(variable.c_str());
      environment.push_back(nullptr);
      before();
      started_ = Start(environment.data(), {[](void*) {}, format::Libc::kGlibc, 0});
      body();
    });
  }
  // In the child: whether recording began.
  bool started() const { return started_; }
  const char* directory() const { return tree_.root(); }

  // Paths of files with that ending, in the order of their names.
  std::vector<std::string> Files(const std::string& ending) const {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(tree_.root())) {
      if (entry.path().extension() == ending) paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
  }
  static tools::Profile Read(const std::string& path) {
    auto file = tools::RecordingFile::Read(path);
    if (!file.ok()) {
      ADD_FAILURE() << file.error().Text();
      return {};
    }
    auto profile = tools::Decode(file.value());
    if (!profile.ok()) {
      ADD_FAILURE() << profile.error().Text();
      return {};
    }
    return profile.value();
  }
  // The only recording.
  tools::Profile Recorded() const {
    const std::vector<std::string> files = Files(".rec");
    EXPECT_EQ(files.size(), 1u);
    return files.empty() ? tools::Profile() : Read(files[0]);
  }

 private:
  RecordedTree tree_;
  bool started_ = false;
};

}  // namespace memtrace::core

#endif  // MEMTRACE_TESTS_UNIT_CORE_RECORDED_PROCESS_H_
