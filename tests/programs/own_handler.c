// own_handler MODE [SIGNAL]: installs a handler of its own for SIGUSR2 in the way that MODE says, checks what it is
// told about the old one, writes "ready", and then for each byte of standard input the number of calls of its handler.
// Modes: sigaction, siginfo, resethand, signal, ignore, default, inherited-ignore, twice, masked.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t g_calls;
static int g_signal = SIGUSR2;

static void Check(int holds, int status) {
  if (!holds) _exit(status);
}

static void OnSignal(int number) {
  Check(number == g_signal, 20);
  ++g_calls;
}

static void OnSignalInfo(int number, siginfo_t* info, void* context) {
  Check(number == g_signal && info->si_signo == number && info->si_code == SI_USER && info->si_pid == getppid(), 21);
  Check(context != NULL, 22);
  ++g_calls;
}

static void OnMasked(int number) {
  sigset_t now;
  Check(number == g_signal && sigprocmask(SIG_BLOCK, NULL, &now) == 0, 23);
  Check(sigismember(&now, SIGTERM) && !sigismember(&now, SIGHUP) && sigismember(&now, g_signal), 24);
  ++g_calls;
}

static void ExpectAction(void (*handler)(int), int flags) {
  struct sigaction now;
  Check(sigaction(g_signal, NULL, &now) == 0 && now.sa_handler == handler, 25);
  const int known = SA_RESTART | SA_SIGINFO | (int)SA_RESETHAND | SA_NODEFER | SA_ONSTACK;
  Check((now.sa_flags & known) == flags, 26);
}

static void Install(void (*handler)(int), int flags, int masked) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  struct sigaction old;
  sigemptyset(&action.sa_mask);
  if (masked != 0) sigaddset(&action.sa_mask, masked);
  ExpectAction(SIG_DFL, 0);
  Check(sigaction(g_signal, &action, &old) == 0 && old.sa_handler == SIG_DFL, 27);
  ExpectAction(handler, flags);
  Check(sigaction(g_signal, NULL, &old) == 0 && (masked == 0 || sigismember(&old.sa_mask, masked)), 28);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const char* mode = argv[1];
  if (argc > 2) g_signal = atoi(argv[2]);
  if (strcmp(mode, "sigaction") == 0) Install(OnSignal, SA_RESTART, 0);
  if (strcmp(mode, "siginfo") == 0) Install((void (*)(int))(void*)OnSignalInfo, SA_SIGINFO, 0);
  if (strcmp(mode, "resethand") == 0) Install(OnSignal, (int)SA_RESETHAND, 0);
  if (strcmp(mode, "masked") == 0) Install(OnMasked, 0, SIGTERM);
  if (strcmp(mode, "signal") == 0) {
    Check(signal(g_signal, OnSignal) == SIG_DFL, 29);
    Check(signal(g_signal, OnSignal) == OnSignal, 30);
    ExpectAction(OnSignal, SA_RESTART);
  }
  if (strcmp(mode, "ignore") == 0) Check(signal(g_signal, SIG_IGN) == SIG_DFL, 31);
  if (strcmp(mode, "inherited-ignore") == 0) Check(signal(g_signal, SIG_IGN) == SIG_IGN, 32);
  if (strcmp(mode, "twice") == 0) {
    Install(OnSignal, SA_RESTART, 0);
    Check(signal(g_signal, SIG_DFL) == OnSignal, 33);
    Check(signal(g_signal, OnSignal) == SIG_DFL, 35);
  }
  Check(sigaction(SIGKILL, &(struct sigaction){.sa_handler = OnSignal}, NULL) == -1 && errno == EINVAL, 34);
  printf("ready\n");
  fflush(stdout);
  char byte;
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got == 0) return 0;
    if (got < 0 && errno != EINTR) return 3;
    if (got < 0) continue;
    printf("calls %d\n", (int)g_calls);
    fflush(stdout);
  }
}
