#include <unistd.h>

#include <cstdio>
#include <memory>

#include "injector/doctor/doctor.h"
#include "injector/launch.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {

void AddDoctor(CLI::App* app, Action* action) {
  CLI::App* doctor =
      app->add_subcommand("doctor", "Say whether and why (not) the library can see a program or process.");
  doctor->footer("Exit status: 0 it can be recorded, 1 it cannot, 2 usage, or there is no such program\nor process.");
  auto target = std::make_shared<std::string>();
  doctor->add_option("TARGET", *target, "program (searched in PATH) or process id")->required();
  doctor->callback([target, action] {
    *action = [target] {
      const injector::Diagnosis diagnosis = injector::Examine({*target, injector::FindLibrary(), environ});
      if (diagnosis.status == injector::kDoctorUnknown) {
        Say(diagnosis.verdict);
      } else {
        fputs(injector::Describe(diagnosis).c_str(), stdout);
      }
      return diagnosis.status;
    };
  });
}

}  // namespace memtrace::commands
