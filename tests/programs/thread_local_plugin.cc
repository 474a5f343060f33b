// A library with thread-local variables: a large one without, and one with a constructor and a destructor that
// allocate. The C library allocates the first when a thread touches it, and runs the second's destructor when the
// thread ends, after dlclose.
#include <cstdlib>

namespace {

void* volatile g_block;
thread_local char t_large[20000];

struct Held {
  void* block = malloc(700);
  ~Held() {
    free(malloc(800));
    free(block);
  }
};
thread_local Held t_held;

__attribute__((constructor)) void Begin() { free(malloc(900)); }
__attribute__((destructor)) void End() { free(malloc(901)); }

}  // namespace

extern "C" void TouchThreadLocals() {
  t_large[1] = 1;
  g_block = t_held.block;
}
