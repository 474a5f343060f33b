// A recording in a temporary directory, and ways to look at it as a reader does.
#ifndef MEMTRACE_TESTS_UNIT_CORE_SCRATCH_RECORDING_H_
#define MEMTRACE_TESTS_UNIT_CORE_SCRATCH_RECORDING_H_

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "libmemtrace/core/recording.h"
#include "tests/unit/rt/recorded_tree.h"

namespace memtrace::core {

inline constexpr uint64_t kTestMiB = uint64_t{1} << 20;

class ScratchRecording {
 public:
  explicit ScratchRecording(uint64_t max_bytes = 256 * kTestMiB) {
    EXPECT_EQ(recording_.Create(tree_.root(), max_bytes), 0);
  }
  ~ScratchRecording() {
    if (!recording_.open()) return;
    const format::Header& h = recording_.header();
    munmap(const_cast<uint8_t*>(recording_.data()), h.front_bytes + uint64_t{h.max_chunks} * format::kChunkBytes);
    recording_.ForgetInChild();  // closes the descriptor
  }
  ScratchRecording(const ScratchRecording&) = delete;
  ScratchRecording& operator=(const ScratchRecording&) = delete;

  Recording* get() { return &recording_; }
  Recording* operator->() { return &recording_; }
  format::Header& header() { return recording_.header(); }
  RecordedTree& tree() { return tree_; }

 private:
  RecordedTree tree_;
  Recording recording_;
};

// Runs `body` in a forked child, which may change its limits, descriptors and mounts, or be killed. Returns
// its wait status: 0 if `body` returned without a failed expectation.
inline int RunInChild(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

// Mounts a tmpfs in a mount namespace of the calling child's own, so that it goes away with the child.
inline constexpr int kCannotMount = 77;
inline bool MountTmpfs(const char* directory, const char* options) {
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", directory, "tmpfs", 0, options) == 0;
}

}  // namespace memtrace::core

#endif  // MEMTRACE_TESTS_UNIT_CORE_SCRATCH_RECORDING_H_
