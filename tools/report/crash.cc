#include "tools/report/crash.h"

#include <signal.h>
#include <unistd.h>

#include <boost/stacktrace.hpp>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>

namespace memtrace::tools {
namespace {

constexpr int kFatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
// Naming the frames reads debug information, in a process that is already broken: not for ever.
constexpr unsigned kPatienceSeconds = 10;

void PrintStack(const char* reason) {
  std::cerr << "memtrace-report: internal error: " << reason
            << "\nThis is a bug. Please report it with the input and these lines:\n"
            << boost::stacktrace::stacktrace() << std::flush;
}

// A second fault, or one in here, takes the default action: the handler is used once.
void OnSignal(int signal) {
  ::signal(SIGALRM, SIG_DFL);
  alarm(kPatienceSeconds);
  PrintStack(strsignal(signal));
  raise(signal);
}

[[noreturn]] void OnTerminate() {
  signal(SIGABRT, SIG_DFL);
  try {
    if (const std::exception_ptr current = std::current_exception()) std::rethrow_exception(current);
    PrintStack("std::terminate");
  } catch (const std::exception& error) {
    PrintStack(error.what());
  } catch (...) {
    PrintStack("an exception of unknown type");
  }
  std::abort();
}

}  // namespace

void InstallCrashHandler() {
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int signal : kFatal) sigaction(signal, &action, nullptr);
  std::set_terminate(OnTerminate);
}

}  // namespace memtrace::tools
