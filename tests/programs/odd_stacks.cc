// odd_stacks: keeps 100 blocks of a size of its own in each of several places where the stack is not what a thread
// began with: a context of swapcontext, an alternate signal stack, after longjmp, in a handler of an exception that
// went through code of C, after a bad_alloc, and below a frame that was compiled without tables.
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <new>

namespace {

constexpr int kBlocks = 100;
void* volatile g_block;

__attribute__((noinline)) void Keep(size_t size) {
  for (int i = 0; i < kBlocks; ++i) g_block = malloc(size);
}

ucontext_t g_main;
ucontext_t g_context;
void OnContext() {
  Keep(201);
  swapcontext(&g_context, &g_main);
  Keep(202);
}

void OnOtherStack(char* stack, size_t bytes) {
  if (getcontext(&g_context) != 0) _exit(10);
  g_context.uc_stack.ss_sp = stack;
  g_context.uc_stack.ss_size = bytes;
  g_context.uc_link = &g_main;
  makecontext(&g_context, OnContext, 0);
  swapcontext(&g_main, &g_context);
  Keep(203);
  swapcontext(&g_main, &g_context);
}

void OnSignal(int) { Keep(204); }

void OnAlternateStack(char* stack, size_t bytes) {
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = bytes;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_ONSTACK;
  if (sigaltstack(&alternate, nullptr) != 0 || sigaction(SIGUSR1, &action, nullptr) != 0) _exit(11);
  raise(SIGUSR1);
}

jmp_buf g_jump;
__attribute__((noinline)) void JumpFrom(int depth) {
  if (depth < 0) return;
  if (depth == 0) longjmp(g_jump, 1);
  free(malloc(10));
  JumpFrom(depth - 1);
  free(malloc(11));
}

void AfterJump() {
  if (setjmp(g_jump) == 0) JumpFrom(20);
  Keep(205);
}

int Compare(const void*, const void*) { throw 1; }

void AfterException() {
  int numbers[] = {2, 1};
  try {
    qsort(numbers, 2, sizeof(numbers[0]), Compare);  // of C, with tables
  } catch (int) {
    Keep(206);
  }
}

void AfterBadAlloc() {
  volatile size_t too_much = ~size_t{0} / 4;
  try {
    g_block = ::operator new(too_much);
  } catch (const std::bad_alloc&) {
    Keep(207);
  }
  if (::operator new(too_much, std::nothrow) != nullptr) _exit(12);
}

void* InThread(void*) {
  auto* stack = static_cast<char*>(mmap(nullptr, 1 << 17, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  OnOtherStack(stack, 1 << 16);
  OnAlternateStack(stack + (1 << 16), 1 << 16);
  AfterJump();
  AfterException();
  AfterBadAlloc();
  return nullptr;
}

}  // namespace

int main() {
  pthread_t thread;
  InThread(nullptr);
  if (pthread_create(&thread, nullptr, InThread, nullptr) != 0) return 2;
  pthread_join(thread, nullptr);
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 3;
}
