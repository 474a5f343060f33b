#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "injector/manifest/manifest.h"
#include "tools/memtrace/commands.h"
#include "tools/memtrace/library.h"
#include "tools/memtrace/variables.h"

namespace memtrace::commands {
namespace {

struct Order {
  std::string file;
  std::string library;
  std::vector<std::string> services;
  std::vector<std::string> containers;
  injector::Injection injection;
  std::shared_ptr<VariableValues> variables = std::make_shared<VariableValues>();
};

std::optional<std::string> ReadAll(const std::string& file) {
  if (file == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (in.bad() || (text.empty() && !in.eof())) return std::nullopt;
  return text;
}

int Print(const std::string& subject, const injector::ManifestOutcome& outcome) {
  if (!outcome.error.empty()) {
    Say(subject + ": " + outcome.error);
    return 1;
  }
  std::fputs(outcome.text.c_str(), stdout);
  return 0;
}

template <typename Make>
int FromFile(const Order& order, Make make) {
  const std::optional<std::string> manifest = ReadAll(order.file);
  if (!manifest) {
    Say("cannot read " + order.file + ": " + strerror(errno));
    return 1;
  }
  return Print(order.file == "-" ? "standard input" : order.file, make(*manifest));
}

std::string CheckVolume(const std::string& name) {
  const bool plain = name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  return plain && !name.empty() && name[0] != '-' ? "" : "a volume's name has small letters, digits and `-`";
}

void AddCommonOptions(CLI::App* app, const std::shared_ptr<Order>& order) {
  app->add_option("--directory", order->injection.directory, "where the library lies in the container")
      ->option_text("DIR")
      ->capture_default_str();
  app->add_option("--volume", order->injection.volume, "name of the volume")
      ->check(CheckVolume)
      ->option_text("NAME")
      ->capture_default_str();
  AddVariableOptions(app, order->variables);
}

void TakeVariables(Order* order) {
  for (const auto& [name, value] : order->variables->values) order->injection.variables.emplace_back(name, value);
}

bool TakeLibrary(Order* order) {
  order->injection.library = UsableLibrary(order->library);
  return !order->injection.library.empty();
}

void AddCompose(CLI::App* inject, Action* action) {
  CLI::App* compose = inject->add_subcommand("compose", "Print an override file for a service of a Compose file.");
  auto order = std::make_shared<Order>();
  compose->add_option("FILE", order->file, "the Compose file, or -")->required();
  compose->add_option("--service", order->services, "service to set up; may be given several times")
      ->required()
      ->option_text("NAME");
  AddLibraryOption(compose, &order->library);
  AddCommonOptions(compose, order);
  compose->footer("docker compose -f FILE -f OVERRIDE up. Limits and everything else of the service stay as they are.");
  compose->callback([order, action] {
    *action = [order] {
      TakeVariables(order.get());
      if (!TakeLibrary(order.get())) return 1;
      return FromFile(*order, [&](const std::string& text) {
        return injector::ComposeOverride(text, order->services, order->injection);
      });
    };
  });
}

void AddKubernetes(CLI::App* inject, Action* action) {
  CLI::App* kubernetes = inject->add_subcommand("kubernetes", "Print a manifest with the library in its pods.");
  auto order = std::make_shared<Order>();
  order->injection.image = "memtrace:" MEMTRACE_VERSION;
  kubernetes->add_option("FILE", order->file, "the manifest, or -")->required();
  kubernetes
      ->add_option("--container", order->containers, "container to set up (default: all); may be given several times")
      ->option_text("NAME");
  kubernetes->add_option("--image", order->injection.image, "image of the init container that brings the library")
      ->option_text("IMAGE")
      ->capture_default_str();
  AddCommonOptions(kubernetes, order);
  kubernetes->footer(
      "memtrace inject kubernetes app.yaml | kubectl apply -f -\n"
      "Pods of Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs get an init container, an "
      "emptyDir and\n"
      "the environment; all other text stays as it is.");
  kubernetes->callback([order, action] {
    *action = [order] {
      TakeVariables(order.get());
      return FromFile(*order, [&](const std::string& text) {
        return injector::PatchKubernetes(text, order->containers, order->injection);
      });
    };
  });
}

void AddDocker(CLI::App* inject, const Tail* tail, Action* action) {
  CLI::App* docker = inject->add_subcommand("docker", "Print the `docker run` line, or its options.");
  auto order = std::make_shared<Order>();
  AddLibraryOption(docker, &order->library);
  AddCommonOptions(docker, order);
  docker->footer(
      "memtrace inject docker -- docker run IMAGE...   prints that line with the options put in; without it, the "
      "options.");
  docker->callback([order, tail, action] {
    *action = [order, tail] {
      TakeVariables(order.get());
      if (!TakeLibrary(order.get())) return 1;
      return Print("docker", injector::DockerRunLine(tail->value_or(std::vector<std::string>()), order->injection));
    };
  });
}

}  // namespace

void AddInject(CLI::App* app, const Tail* tail, Action* action) {
  CLI::App* inject =
      app->add_subcommand("inject", "Print what sets the library up for a service: Compose, Kubernetes, docker run.");
  inject->require_subcommand(1);
  AddCompose(inject, action);
  AddKubernetes(inject, action);
  AddDocker(inject, tail, action);
}

}  // namespace memtrace::commands
