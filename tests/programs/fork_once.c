// fork_once HOW [clone]: the parent keeps 100 blocks of 1,000 bytes; the child frees 50 of them, keeps 10 of 500 of its
// own and ends: HOW is return, _exit or nothing (it allocates nothing and leaves by _exit). Writes the child's status.
// clone: the child is made by the bare system call, behind the back of libc.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void* g_blocks[100];
static void* g_own[10];

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  for (int i = 0; i < 100; ++i) g_blocks[i] = malloc(1000);
  const pid_t child = argc > 2 ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) : fork();
  if (child < 0) return 3;
  if (child == 0) {
    if (strcmp(argv[1], "nothing") == 0) _exit(7);
    for (int i = 0; i < 50; ++i) free(g_blocks[i]);
    for (int i = 0; i < 10; ++i) g_own[i] = malloc(500);
    if (strcmp(argv[1], "_exit") == 0) _exit(7);
    return 7;
  }
  int status = 0;
  waitpid(child, &status, 0);
  g_own[0] = malloc(123);
  char text[64];
  const int size = snprintf(text, sizeof(text), "child %d\n", WEXITSTATUS(status));
  return write(STDOUT_FILENO, text, (size_t)size) == size ? 0 : 4;
}
