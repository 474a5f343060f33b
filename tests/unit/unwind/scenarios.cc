// One way through the shapes that stacks take. Compiled once for each optimisation level, with and
// without frame pointers; MEMTRACE_VARIANT names the entry point.
#include <alloca.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/unit/unwind/oracles.h"

namespace memtrace::unwind {
namespace {

volatile int g_sink = 0;

[[gnu::noinline]] void Recurse(int depth) {
  if (depth == 0) {
    ExpectSameStacks("recursion");
  } else {
    Recurse(depth - 1);
  }
  g_sink = g_sink + 1;
}

struct Shape {
  virtual ~Shape() = default;
  virtual int Area(int a, int b, int c) = 0;
};
struct Square : Shape {
  [[gnu::noinline]] int Area(int a, int b, int c) override {
    ExpectSameStacks("virtual call");
    return a * b + c + g_sink;
  }
};

struct Unwinding {
  ~Unwinding() { ExpectSameStacks("destructor while an exception is in flight"); }
};

[[gnu::noinline]] void Throw(int value) {
  const Unwinding guard;
  if (value >= 0) throw std::runtime_error("thrown");
}

[[gnu::noinline]] void Exceptions() {
  try {
    Throw(g_sink >= 0 ? 1 : -1);
  } catch (const std::exception&) {
    ExpectSameStacks("catch handler");
    try {
      throw 7;
    } catch (int) {
      ExpectSameStacks("nested catch handler");
    }
  }
}

[[gnu::noinline]] void VariableFrame(size_t bytes) {
  auto* block = static_cast<char*>(alloca(bytes));
  std::memset(block, 1, bytes);
  ExpectSameStacks("alloca");
  g_sink = g_sink + block[bytes / 2];
}

[[gnu::noinline]] void Realigned(size_t bytes) {
  alignas(64) volatile char aligned[256];
  aligned[7] = 1;
  auto* block = static_cast<char*>(alloca(bytes));
  std::memset(block, 1, bytes);
  ExpectSameStacks("realigned stack with alloca");
  g_sink = g_sink + aligned[7] + block[bytes / 2];
}

[[gnu::noinline]] int ManyArguments(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j) {
  alignas(32) volatile int values[] = {a, b, c, d, e, f, g, h, i, j};
  ExpectSameStacks("realigned stack with arguments in memory");
  return values[3] + values[9];
}

int Compare(const void* a, const void* b) {
  if (g_sink > 0) ExpectSameStacks("callback from libc");
  g_sink = 0;
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

void LibcFrames() {
  int values[] = {5, 3, 4, 1, 2};
  g_sink = 1;
  std::qsort(values, 5, sizeof(int), Compare);
  const int key = 3;
  g_sink = 1;
  std::bsearch(&key, values, 5, sizeof(int), Compare);
  g_sink = 0;
}

void Algorithms() {
  std::vector<int> values{5, 3, 9, 1, 2, 8, 7};
  bool once = true;
  std::sort(values.begin(), values.end(), [&once](int a, int b) {
    if (std::exchange(once, false)) ExpectSameStacks("comparison of std::sort");
    return a < b;
  });
  std::function<int(int)> function = [&values](int i) {
    ExpectSameStacks("lambda in std::function");
    return values[static_cast<size_t>(i)] + 1;
  };
  g_sink = g_sink + function(2);
}

void* ThreadMain(void* argument) {
  Recurse(3);
  Exceptions();
  Realigned(100);
  return argument;
}

void OnSignal(int) { ExpectSameStacks("signal handler"); }

[[gnu::noinline]] void Signals(bool alternate) {
  stack_t stack{};
  std::vector<char> memory(256 * 1024);
  stack.ss_sp = memory.data();
  stack.ss_size = memory.size();
  stack.ss_flags = alternate ? 0 : SS_DISABLE;
  sigaltstack(&stack, nullptr);
  struct sigaction action {};
  struct sigaction old {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, &old);
  raise(SIGUSR1);
  sigaction(SIGUSR1, &old, nullptr);
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, nullptr);
}

}  // namespace

void MEMTRACE_VARIANT() {
  Recurse(200);
  const std::unique_ptr<Shape> shape = std::make_unique<Square>();
  g_sink = g_sink + shape->Area(1, 2, 3);
  Exceptions();
  VariableFrame(1000);
  Realigned(300);
  g_sink = g_sink + ManyArguments(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
  LibcFrames();
  Algorithms();
  Signals(false);
  Signals(true);
  pthread_t thread;
  pthread_create(&thread, nullptr, ThreadMain, nullptr);
  pthread_join(thread, nullptr);
}

}  // namespace memtrace::unwind
