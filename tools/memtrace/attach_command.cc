#include <cstdio>
#include <memory>

#include "injector/attach.h"
#include "injector/monitor/target.h"
#include "tools/memtrace/commands.h"
#include "tools/memtrace/library.h"
#include "tools/memtrace/variables.h"

namespace memtrace::commands {
namespace {

int Finish(const injector::AttachOutcome& outcome, const char* done) {
  if (!outcome.done) {
    Say(outcome.message);
    return 1;
  }
  if (!outcome.warning.empty()) Say(outcome.warning);
  printf("%s %s\n", done, outcome.message.c_str());
  return 0;
}

void AddTarget(CLI::App* app, std::string* target) {
  app->add_option("PID", *target,
                  "process id, as seen from here; or name or id of a docker or podman container: its first process")
      ->required()
      ->check([](const std::string& text) {
        return text.empty() || text[0] == '-' || text == "0" ? "give a process or container" : "";
      });
}

bool Find(const std::string& name, pid_t* pid) {
  const injector::MonitorTarget target = injector::FindTarget(name);
  *pid = target.pid;
  // A process that is in no memory cgroup can be traced all the same; attaching says whether there is one.
  if (target.pid > 0 && (target.message.empty() || target.kind == injector::TargetKind::kProcess)) return true;
  Say(target.message.empty() ? name + " is a cgroup: name a process or a container" : target.message);
  return false;
}

}  // namespace

void AddAttach(CLI::App* app, Action* action) {
  CLI::App* attach = app->add_subcommand("attach", "Load the library into a running process and begin to record.");
  attach->footer(
      "Each option stands for the variable in brackets; what is not given is as in the environment that the\n"
      "process was started with. The process may live in another container. What it allocated before is not in\n"
      "the recording.\n"
      "Needs the right to trace it: its user, or root, and in a container the capability SYS_PTRACE.\n"
      "Exit status: 0 it is recorded, 1 it is not, 2 usage.");
  auto order = std::make_shared<injector::AttachOrder>();
  auto variables = std::make_shared<VariableValues>();
  AddVariableOptions(attach, variables);
  AddLibraryOption(attach, &order->library);
  auto wait_ms = std::make_shared<unsigned>(500);
  attach
      ->add_option("--wait", *wait_ms,
                   "how long to wait for the process to allocate, which makes it safest (default 500)")
      ->check(CLI::Range(0, 600'000))
      ->option_text("MS");
  auto target = std::make_shared<std::string>();
  AddTarget(attach, target.get());
  attach->callback([order, target, variables, wait_ms, action] {
    *action = [order, target, variables, wait_ms] {
      order->wait = std::chrono::milliseconds(*wait_ms);
      order->settings = {{"MEMTRACE_QUIET", "1"}};
      if (variables->values.count("MEMTRACE_KEEP") == 0) order->settings.emplace_back("MEMTRACE_KEEP", kKeep);
      for (const auto& setting : variables->values) order->settings.push_back(setting);
      order->library = UsableLibrary(order->library);
      if (order->library.empty() || !Find(*target, &order->pid)) return 1;
      return Finish(injector::Attach(*order), "recording to");
    };
  });
}

void AddDetach(CLI::App* app, Action* action) {
  CLI::App* detach = app->add_subcommand("detach", "End the recording of a process, which goes on as before.");
  detach->footer(
      "The library stays in the process, unused. `memtrace attach` begins a new recording.\n"
      "Exit status: 0 it is not recorded any more, 1 it could not be done, 2 usage.");
  auto target = std::make_shared<std::string>();
  AddTarget(detach, target.get());
  detach->callback([target, action] {
    *action = [target] {
      pid_t pid = 0;
      return Find(*target, &pid) ? Finish(injector::Detach(pid), "recorded to") : 1;
    };
  });
}

}  // namespace memtrace::commands
