// spawn HOW PROGRAM [ARGUMENT...]: starts PROGRAM by vfork, posix_spawn, system, or exec over itself, and ends with its
// status. Keeps 2 MiB.
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;
static void* g_block;

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  g_block = malloc(2 << 20);
  char** command = argv + 2;
  int status = 0;
  pid_t child = 0;
  if (strcmp(argv[1], "exec") == 0) execv(command[0], command);
  if (strcmp(argv[1], "system") == 0) {
    status = system(command[0]);
    return WEXITSTATUS(status);
  }
  if (strcmp(argv[1], "vfork") == 0) {
    child = vfork();
    if (child == 0) {
      execv(command[0], command);
      _exit(127);
    }
  } else if (posix_spawn(&child, command[0], NULL, NULL, command, environ) != 0) {
    return 3;
  }
  free(malloc(77));
  if (waitpid(child, &status, 0) != child) return 4;
  free(malloc(77));
  return WEXITSTATUS(status);
}
