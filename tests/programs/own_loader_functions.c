// own_loader_functions: defines dl_iterate_phdr, dlsym, getenv and unsetenv itself, as some programs do, with bodies
// that allocate or end the program. Keeps 1,000 blocks of 100 bytes.
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void* volatile g_block;

int dl_iterate_phdr(int (*callback)(struct dl_phdr_info*, size_t, void*), void* data) {
  (void)callback;
  (void)data;
  g_block = malloc(7);
  return 0;
}
void* dlsym(void* restrict handle, const char* restrict name) {
  (void)handle;
  (void)name;
  _exit(20);
}
char* getenv(const char* name) {
  (void)name;
  _exit(21);
}
int unsetenv(const char* name) {
  (void)name;
  _exit(22);
}

int main(void) {
  for (int i = 0; i < 1000; ++i) g_block = malloc(100);
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 1;
}
