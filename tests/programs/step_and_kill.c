// step_and_kill FIRST STEP COUNT LIBRARY PROGRAM: runs PROGRAM with LIBRARY preloaded COUNT times up to its first
// SIGTRAP, goes on for FIRST, FIRST + STEP, ... single instructions, and kills it there. Writes how many of them came
// before its second SIGTRAP.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void Fail(const char* what) {
  perror(what);
  _exit(3);
}

// Up to a SIGTRAP that the program raised itself, at the start (exec stops once too).
static pid_t Start(const char* library, char* program) {
  const pid_t child = fork();
  if (child < 0) Fail("fork");
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || setenv("LD_PRELOAD", library, 1) != 0) _exit(4);
    execl(program, program, (char*)NULL);
    _exit(5);
  }
  int status = 0;
  for (int stops = 0; stops < 2; ++stops) {
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) Fail("stop");
    if (stops == 0 && ptrace(PTRACE_CONT, child, NULL, NULL) != 0) Fail("go on");
  }
  return child;
}

// Returns whether it got so far.
static int StepAndKill(pid_t child, long steps) {
  int status = 0;
  int alive = 1;
  for (long i = 0; alive && i < steps; ++i) {
    if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child) Fail("step");
    siginfo_t info;
    // si_code tells a step (TRAP_TRACE) from a raised signal.
    alive = WIFSTOPPED(status) && ptrace(PTRACE_GETSIGINFO, child, NULL, &info) == 0 && info.si_code != SI_TKILL;
  }
  kill(child, SIGKILL);
  while (waitpid(child, &status, 0) == child && !WIFSIGNALED(status) && !WIFEXITED(status)) continue;
  return alive;
}

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  long steps = atol(argv[1]);
  int inside = 0;
  for (int i = 0; i < atoi(argv[3]); ++i) {
    inside += StepAndKill(Start(argv[4], argv[5]), steps);
    steps += atol(argv[2]);
  }
  printf("%d\n", inside);
  return 0;
}
