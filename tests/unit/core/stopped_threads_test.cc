#include "libmemtrace/core/stopped_threads.h"

#include <asm/errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <new>
#include <thread>
#include <vector>

#include "libmemtrace/rt/os.h"

namespace memtrace::core {
namespace {

constexpr uint32_t kThreads = 3;
constexpr int kForbidden = 77;

// Between the threads and the process that stops them.
struct Shared {
  std::atomic<uint64_t> rounds[kThreads];
  std::atomic<uintptr_t> stacks[kThreads];
  std::atomic<uint64_t> handled;
  std::atomic<bool> over;
  StoppedThread threads[kMostStoppedThreads];
};
Shared* g_shared;

class StoppedThreadsTest : public ::testing::Test {
 protected:
  StoppedThreadsTest() {
    g_shared = new (rt::Map(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS)) Shared{};
    for (uint32_t i = 0; i < kThreads; ++i) {
      threads_.emplace_back([i] {
        g_shared->stacks[i] = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
        for (; !g_shared->over; ++g_shared->rounds[i]) std::this_thread::yield();
      });
    }
    for (uint32_t i = 0; i < kThreads; ++i) AwaitRoundsAfter(i, 0);
  }
  void SetUp() override {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "ThreadSanitizer has a thread of its own, and delivers signals late";
#endif
  }
  ~StoppedThreadsTest() override {
    g_shared->over = true;
    for (std::thread& thread : threads_) thread.join();
    munmap(g_shared, sizeof(Shared));
  }

  static void AwaitRoundsAfter(uint32_t thread, uint64_t rounds) {
    while (g_shared->rounds[thread] <= rounds) rt::SleepNanoseconds(100'000);
  }

  // Runs `body` in a child that may trace this process, with its list of threads and the thread that is to be spared.
  // Returns the child's id.
  static pid_t StartTracer(const std::function<int(int tasks, int spared)>& body) {
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    const int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    const int spared = rt::ThreadId();
    const pid_t child = fork();
    if (child == 0) _exit(body(tasks, spared));
    close(tasks);
    return child;
  }
  static int StatusOf(pid_t child) {
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::vector<std::thread> threads_;
};

TEST_F(StoppedThreadsTest, NobodyRunsBetweenStopAndResume) {
  const pid_t tracer = StartTracer([](int tasks, int spared) {
    uint32_t count = 0;
    const int result = StopThreads(tasks, spared, g_shared->threads, &count);
    if (result == -EPERM) return kForbidden;
    if (result != 0 || count != kThreads) return 1;
    uint64_t before[kThreads];
    for (uint32_t i = 0; i < kThreads; ++i) before[i] = g_shared->rounds[i];
    rt::SleepNanoseconds(20'000'000);
    for (uint32_t i = 0; i < kThreads; ++i) {
      if (g_shared->rounds[i] != before[i]) return 2;
    }
    ResumeThreads(g_shared->threads, count);
    return 0;
  });
  const int status = StatusOf(tracer);
  if (status == kForbidden) GTEST_SKIP() << "ptrace is forbidden here";
  ASSERT_EQ(status, 0);
  // Each one's registers are its own: the stack pointer lies on its stack, the control block above it.
  constexpr uintptr_t kMostStackBytes = 8 << 20;
  for (const auto& stack : g_shared->stacks) {
    int owners = 0;
    for (uint32_t i = 0; i < kThreads; ++i) {
      const StoppedThread& thread = g_shared->threads[i];
      owners += thread.sp < stack && stack - thread.sp < kMostStackBytes && thread.thread_pointer > stack &&
                thread.thread_pointer - stack < kMostStackBytes;
    }
    EXPECT_GE(owners, 1);
  }
  for (uint32_t i = 0; i < kThreads; ++i) AwaitRoundsAfter(i, g_shared->rounds[i]);
}

TEST_F(StoppedThreadsTest, SignalsThatCameMeanwhileAreDelivered) {
  signal(SIGUSR1, [](int) { ++g_shared->handled; });
  const pid_t tracer = StartTracer([](int tasks, int spared) {
    for (int i = 0; i < 200; ++i) {
      uint32_t count = 0;
      const int result = StopThreads(tasks, spared, g_shared->threads, &count);
      ResumeThreads(g_shared->threads, count);
      if (result == -EPERM) return kForbidden;
      if (result != 0 || count != kThreads) return 1;
    }
    return 0;
  });
  int status = 0;
  uint64_t sent = 0;
  while (waitpid(tracer, &status, WNOHANG) == 0) {
    pthread_kill(threads_[sent % kThreads].native_handle(), SIGUSR1);
    ++sent;
    while (g_shared->handled < sent) std::this_thread::yield();  // for ever, were one lost
  }
  signal(SIGUSR1, SIG_DFL);
  if (WEXITSTATUS(status) == kForbidden) GTEST_SKIP() << "ptrace is forbidden here";
  EXPECT_EQ(status, 0);
  EXPECT_EQ(g_shared->handled, sent);
}

TEST_F(StoppedThreadsTest, WhatIsNoListOfThreadsIsAnError) {
  uint32_t count = 0;
  EXPECT_LT(StopThreads(-1, 0, g_shared->threads, &count), 0);
  EXPECT_EQ(count, 0u);
}

}  // namespace
}  // namespace memtrace::core
