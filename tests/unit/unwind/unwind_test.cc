// Stacks of every kind of memory: threads, coroutines, the program's own; and what walks cost.
#include "libmemtrace/unwind/unwind.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/arch.h"
#include "libmemtrace/unwind/modules.h"
#include "tests/unit/unwind/oracles.h"

namespace memtrace::unwind {
namespace {

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// Pages between two that cannot be read.
class GuardedStack {
 public:
  explicit GuardedStack(size_t bytes) : bytes_(bytes) {
    base_ = static_cast<char*>(mmap(nullptr, bytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(low(), bytes, PROT_READ | PROT_WRITE);
  }
  ~GuardedStack() { munmap(base_, bytes_ + 2 * kPage); }
  GuardedStack(const GuardedStack&) = delete;
  GuardedStack& operator=(const GuardedStack&) = delete;
  char* low() const { return base_ + kPage; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  char* base_;
};

ucontext_t g_main_context;
ucontext_t g_coroutine;
void (*g_body)();
void RunBody() { g_body(); }

void RunOn(const GuardedStack& stack, void (*body)()) {
  g_body = body;
  getcontext(&g_coroutine);
  g_coroutine.uc_stack.ss_sp = stack.low();
  g_coroutine.uc_stack.ss_size = stack.bytes();
  g_coroutine.uc_link = &g_main_context;
  makecontext(&g_coroutine, RunBody, 0);
  swapcontext(&g_main_context, &g_coroutine);
}

TEST(Unwind, Coroutines) {
  const GuardedStack stack(256 * 1024);
  const int before = StacksCompared();
  RunOn(stack, [] { ExpectSameStacks("coroutine of the main thread"); });
  std::thread([&stack] { RunOn(stack, [] { ExpectSameStacks("coroutine of a thread"); }); }).join();
  EXPECT_EQ(StacksCompared(), before + 2);
}

[[gnu::noinline]] int DeepThenCompare(int depth) {
  volatile char space[4096];
  space[depth % 4096] = 1;
  if (depth == 0) {
    ExpectSameStacks("deep");
    return space[0];
  }
  return DeepThenCompare(depth - 1) + space[1];
}

void* CompareDeep(void*) {
  DeepThenCompare(300);  // at first sight already far below the thread pointer
  DeepThenCompare(3);
  return nullptr;
}

TEST(Unwind, ThreadsOnTheirOwnAndOnGivenStacks) {
  pthread_t thread;
  pthread_create(&thread, nullptr, CompareDeep, nullptr);
  pthread_join(thread, nullptr);
  const GuardedStack stack(4 << 20);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack.low(), stack.bytes());
  pthread_create(&thread, &attributes, CompareDeep, nullptr);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  DeepThenCompare(300);
}

TEST(Unwind, LimitsOfStacks) {
  int here = 0;
  const auto sp = reinterpret_cast<uintptr_t>(&here);
  const StackLimits main = CurrentStackLimits(sp, true);
  EXPECT_EQ(main.low, sp);
  EXPECT_GT(main.high, sp);
  EXPECT_LT(main.high, reinterpret_cast<uintptr_t>(getenv("PATH")));
  EXPECT_TRUE(rt::IsReadable(main.high - 8));
  EXPECT_EQ(CurrentStackLimits(sp, false).high, main.high) << "the flag is only a hint";
  std::thread([] {
    int inside = 0;
    const StackLimits limits = CurrentStackLimits(reinterpret_cast<uintptr_t>(&inside), false);
    EXPECT_EQ(limits.high, arch::ThreadPointer());
  }).join();
  const std::vector<char> heap(64 * kPage);
  const auto foreign = reinterpret_cast<uintptr_t>(heap.data()) + 10 * kPage;
  EXPECT_EQ(CurrentStackLimits(foreign, true).high, (foreign & ~(kPage - 1)) + kPage);
}

[[gnu::noinline]] Unwound TakeFew(Frame* frames, uint32_t capacity) {
  const Registers start{reinterpret_cast<uintptr_t>(__builtin_return_address(0)),
                        reinterpret_cast<uintptr_t>(__builtin_dwarf_cfa()),
                        *static_cast<uintptr_t*>(__builtin_frame_address(0))};
  return Unwind(start, CurrentStackLimits(start.sp, true), frames, capacity);
}

TEST(Unwind, CapacityIsKept) {
  Frame frames[4] = {};
  frames[3].pc = 77;
  for (uint32_t capacity = 0; capacity <= 3; ++capacity) {
    const Unwound result = TakeFew(frames, capacity);
    EXPECT_EQ(result.frames, capacity);
    EXPECT_TRUE(result.truncated);
  }
  EXPECT_EQ(frames[3].pc, 77u);
}

TEST(Unwind, WildRegistersEndTheWalk) {
  Frame frames[64];
  const auto code = reinterpret_cast<uintptr_t>(&getpid) + 1;
  const uintptr_t wild[] = {0, 1, 8, 4096, 0x7fffffffffff, ~uintptr_t{0}, ~uintptr_t{7}, uintptr_t{1} << 63};
  for (const uintptr_t pc : {uintptr_t{0}, uintptr_t{1}, code, ~uintptr_t{0}}) {
    for (const uintptr_t sp : wild) {
      for (const uintptr_t fp : wild) {
        const Unwound result = Unwind({pc, sp, fp}, {sp, sp}, frames, 64);
        EXPECT_LE(result.frames, 64u);
      }
    }
  }
}

TEST(Unwind, ErrnoStays) {
  errno = 4711;
  OurStack stack;
  TakeOurs(&stack);
  EXPECT_EQ(errno, 4711);
}

#if defined(__x86_64__)
// Code without unwind information that keeps a frame pointer, as JIT compilers write it:
// push rbp; mov rbp, rsp; sub rsp, 64; call *rdi; leave; ret
TEST(Unwind, JitCodeIsWalkedByFramePointers) {
  constexpr unsigned char kCode[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x40, 0xff, 0xd7, 0xc9, 0xc3};
  void* memory = mmap(nullptr, kPage, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::memcpy(memory, kCode, sizeof(kCode));
  static OurStack stack;
  stack.count = 0;
  const auto run = reinterpret_cast<void (*)(void (*)())>(memory);
  run([] { TakeOurs(&stack); });
  int jit = -1;
  for (uint32_t i = 0; i < stack.count; ++i) {
    if (AddressOf(stack, i) == reinterpret_cast<uintptr_t>(memory) + 10) jit = static_cast<int>(i);
  }
  ASSERT_GE(jit, 0) << Describe(stack, {});
  EXPECT_EQ(stack.frames[jit].module, format::kNoModule);
  EXPECT_FALSE(stack.truncated);
  EXPECT_GT(stack.count, static_cast<uint32_t>(jit) + 3);
  EXPECT_NE(stack.frames[jit + 1].module, format::kNoModule);
  munmap(memory, kPage);
  ForgetUnloadedModules();
}
#endif

TEST(Unwind, ManyThreadsAtOnce) {
  // Who meets a module for the first time while another has the lock may give up on a busy machine.
  std::thread([] { TakeOurs(std::make_unique<OurStack>().get()); }).join();
  std::vector<std::thread> threads;
  std::atomic<int> bad{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&bad, i] {
      const auto stack = std::make_unique<OurStack>();
      for (int round = 0; round < 2000; ++round) {
        TakeOurs(stack.get());
        bad += stack->truncated || stack->count < 3 ? 1 : 0;
        if (i == 0 && round % 100 == 0) ForgetUnloadedModules();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bad, 0);
}

volatile sig_atomic_t g_bad_in_handler = 0;
volatile sig_atomic_t g_handled = 0;
OurStack g_handler_stack;

TEST(Unwind, HandlersMayInterruptIt) {
  struct sigaction action {};
  struct sigaction old {};
  action.sa_handler = [](int) {
    TakeOurs(&g_handler_stack);
    g_handled = g_handled + 1;
    if (g_handler_stack.truncated) g_bad_in_handler = g_bad_in_handler + 1;
  };
  sigaction(SIGUSR1, &action, &old);
  std::atomic<bool> stop{false};
  const pthread_t self = pthread_self();
  std::thread sender([&stop, self] {
    while (!stop) {
      pthread_kill(self, SIGUSR1);
      usleep(20);
    }
  });
  OurStack stack;
  int bad = 0;
  for (int i = 0; i < 20000 || g_handled < 10; ++i) {  // with one core, the sender may come late
    if (i % 50 == 0) ForgetUnloadedModules();
    TakeOurs(&stack);
    bad += stack.truncated ? 1 : 0;
  }
  stop = true;
  sender.join();
  sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(g_bad_in_handler, 0);
}

TEST(Unwind, ChildrenOfAForkGoOn) {
  const pid_t child = fork();
  if (child == 0) {
    ResetAfterFork();
    OurStack stack;
    TakeOurs(&stack);
    ForgetUnloadedModules();
    _exit(stack.truncated || stack.count < 3 ? 1 : 0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace memtrace::unwind
