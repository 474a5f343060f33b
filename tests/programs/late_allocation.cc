// late_allocation THREADS: allocates and frees where others have already tidied up: in destructors of thread-local
// variables and keys, again after those, in atexit handlers, in destructors of statics and of the program. Each place
// keeps one block of its own size.
#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

namespace {

void* volatile g_block;
void Keep(size_t size) { g_block = malloc(size); }

struct AtThreadEnd {
  std::unique_ptr<char[]> held = std::make_unique<char[]>(5000);
  ~AtThreadEnd() { Keep(101); }
};
thread_local AtThreadEnd t_at_thread_end;

pthread_key_t g_key;
// Runs once more for as long as it sets a value, up to four times.
void OnKey(void* value) {
  Keep(103);
  free(value);
  static thread_local int rounds = 0;
  if (++rounds < 4) pthread_setspecific(g_key, malloc(6000));
}

struct AtProgramEnd {
  ~AtProgramEnd() { Keep(107); }
};
AtProgramEnd g_at_program_end;

void OnExit() { Keep(109); }

__attribute__((destructor)) void OnUnload() { Keep(113); }

void Work() {
  t_at_thread_end.held[0] = 1;
  pthread_setspecific(g_key, malloc(6000));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || pthread_key_create(&g_key, OnKey) != 0 || atexit(OnExit) != 0) return 2;
  std::vector<std::thread> threads;
  for (int i = 0; i < atoi(argv[1]); ++i) threads.emplace_back(Work);
  for (std::thread& thread : threads) thread.join();
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 3;
}
