#include <unistd.h>

#include <cstdio>
#include <memory>

#include "injector/memory_check.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {

void AddCheck(CLI::App* app, Action* action) {
  CLI::App* check = app->add_subcommand("check", "Health check: how much of the cgroup's memory limit is used.");
  check->footer("Exit status: 0 below the threshold, 1 at or above it, 2 when it cannot tell.");
  auto request = std::make_shared<injector::CheckRequest>();
  check->add_option("--threshold", request->threshold_percent, "percent of the limit (default 80)")
      ->transform(
          [](std::string text) { return text.empty() || text.back() != '%' ? text : text.substr(0, text.size() - 1); })
      ->check(CLI::Range(0.0, 100.0))
      ->option_text("PERCENT");
  check->add_flag("--usage", request->count_page_cache, "count all usage, also page cache that the kernel can drop");
  check->add_option("--pid", request->pid, "of this process instead of the own one")
      ->check([](const std::string& text) { return NoWholeNumber(text, "process id"); })
      ->option_text("PID");
  check->add_option("--root", request->root, "a recorded system")->group("");
  check->callback([request, action] {
    *action = [request] {
      const injector::CheckResult result = injector::CheckMemory(*request);
      dprintf(STDOUT_FILENO, "%s\n", result.line.c_str());  // the status is the answer, also where nobody reads
      return result.status;
    };
  });
}

}  // namespace memtrace::commands
