// changed_surroundings WHAT BLOCKS: keeps BLOCKS blocks of 64 bytes, half of them before and half of them after its
// surroundings change. WHAT: chroot, setuid, nofile, fsize, address-space, chdir, umask, remove DIRECTORY (argument 3).
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void* volatile g_block;

static void KeepBlocks(long count) {
  for (long i = 0; i < count; ++i) {
    g_block = malloc(64);
    if (g_block == NULL) _exit(10);
  }
}

static int Limit(int resource, rlim_t value) {
  const struct rlimit limit = {value, value};
  return prlimit(0, resource, &limit, NULL);
}

static int Change(const char* what, const char* argument) {
  if (strcmp(what, "chroot") == 0) return chroot(".") != 0 || chdir("/") != 0;
  if (strcmp(what, "setuid") == 0) return setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0;
  if (strcmp(what, "nofile") == 0) return Limit(RLIMIT_NOFILE, 0);
  if (strcmp(what, "fsize") == 0) return Limit(RLIMIT_FSIZE, 1 << 20);
  if (strcmp(what, "address-space") == 0) return Limit(RLIMIT_AS, (rlim_t)512 << 20);
  if (strcmp(what, "chdir") == 0) return chdir("/");
  if (strcmp(what, "umask") == 0) return umask(077) == 0777;
  if (strcmp(what, "remove") == 0) {
    char command[600];
    snprintf(command, sizeof(command), "rm -rf '%s'", argument);
    return system(command);
  }
  return 1;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const long blocks = atol(argv[2]);
  KeepBlocks(blocks / 2);
  if (Change(argv[1], argc > 3 ? argv[3] : "") != 0) return 3;
  KeepBlocks(blocks / 2);
  return write(STDOUT_FILENO, "done\n", 5) == 5 ? 0 : 4;
}
