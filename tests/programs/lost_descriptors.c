// lost_descriptors BLOCKS: closes every descriptor that it does not know, puts a file of its own on all numbers, keeps
// BLOCKS blocks of 64 bytes, and writes to some of the numbers. Its file must hold what it wrote and nothing else.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range  // headers older than Linux 5.9
#define SYS_close_range 436
#endif

static void* volatile g_block;

static void KeepBlocks(long count) {
  for (long i = 0; i < count; ++i) {
    g_block = malloc(64);
    if (g_block == NULL) _exit(10);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const long blocks = atol(argv[1]);
  KeepBlocks(blocks / 4);
  if (syscall(SYS_close_range, 3, ~0U, 0) != 0) {
    for (int fd = 3; fd < 65536; ++fd) close(fd);
  }
  KeepBlocks(blocks / 4);
  const int mine = open("mine", O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (mine != 3) return 3;  // as without the library
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur > 2048) limit.rlim_cur = 2048;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return 4;
  const int top = (int)limit.rlim_cur - atoi(argv[2]);
  for (int fd = 4; fd < top; ++fd) {
    if (dup2(mine, fd) != fd) return 5;
  }
  KeepBlocks(blocks / 2);
  for (int fd = 3; fd < top; fd += 100) {
    if (write(fd, "mine\n", 5) != 5) return 6;
  }
  char buffer[4096];
  const ssize_t size = pread(mine, buffer, sizeof(buffer), 0);
  return write(STDOUT_FILENO, buffer, (size_t)size) == size ? 0 : 7;
}
