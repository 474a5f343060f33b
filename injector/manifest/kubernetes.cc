#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <stdexcept>

#include "injector/launch.h"
#include "injector/manifest/manifest.h"
#include "injector/manifest/yaml_text.h"

namespace memtrace::injector {
namespace {

// Where the pod's specification lies in a document of each kind.
struct Kind {
  const char* name;
  std::vector<const char*> way;
};
const std::vector<Kind>& Kinds() {
  static const std::vector<Kind> kKinds = {
      {"Pod", {"spec"}},
      {"Deployment", {"spec", "template", "spec"}},
      {"StatefulSet", {"spec", "template", "spec"}},
      {"DaemonSet", {"spec", "template", "spec"}},
      {"ReplicaSet", {"spec", "template", "spec"}},
      {"ReplicationController", {"spec", "template", "spec"}},
      {"Job", {"spec", "template", "spec"}},
      {"CronJob", {"spec", "jobTemplate", "spec", "template", "spec"}},
  };
  return kKinds;
}

std::string TextOf(const YAML::Node& node) {
  return node.IsDefined() && node.IsScalar() ? node.Scalar() : std::string();
}

// What brings the library. It passes Pod Security "restricted" and quotas, takes less than what it precedes, and leaves
// the pod in its class of service: a container without limits would take a Guaranteed pod out of it, one with them a
// BestEffort pod. The user is the one of packaging/Dockerfile, named because a pod may run as root or say nothing.
YamlItems InitContainer(const Injection& injection, bool with_limits) {
  YamlItems lines = {
      "- name: memtrace",
      "  image: " + Quoted(injection.image),
      "  args: [install, " + Quoted(injection.directory) + "]",
      "  securityContext:",
      "    allowPrivilegeEscalation: false",
      "    capabilities: {drop: [ALL]}",
      "    readOnlyRootFilesystem: true",
      "    runAsNonRoot: true",
      "    runAsUser: 65532",
      "    seccompProfile: {type: RuntimeDefault}",
      "  volumeMounts:",
      "    - name: " + injection.volume,
      "      mountPath: " + Quoted(injection.directory),
  };
  if (with_limits) lines.insert(lines.begin() + 3, "  resources: {limits: {cpu: 100m, memory: 64Mi}}");
  return lines;
}

bool HasResources(const YAML::Node& container) {
  const YAML::Node resources = container["resources"];
  return resources.IsDefined() && resources.IsMap() && resources.size() > 0;
}

class Patch {
 public:
  Patch(const std::string& manifest, const std::vector<std::string>& containers, const Injection& injection)
      : text_(manifest), containers_(containers), injection_(injection) {}

  std::string Run() {
    for (const YAML::Node& document : text_.Documents()) PatchDocument(document);
    for (const std::string& name : containers_) {
      if (std::find(found_.begin(), found_.end(), name) == found_.end())
        throw std::runtime_error(fmt::format("no container is named '{}' in it", name));
    }
    if (pods_ == 0)
      throw std::runtime_error("there is no Pod, Deployment, StatefulSet, DaemonSet, Job or CronJob in it");
    return text_.Edited();
  }

 private:
  void PatchDocument(const YAML::Node& document) {
    if (!document.IsMap()) return;
    if (TextOf(document["kind"]) == "List") {
      for (const YAML::Node& item : document["items"]) PatchDocument(item);
      return;
    }
    for (const Kind& kind : Kinds()) {
      if (TextOf(document["kind"]) == kind.name) PatchPod(SpecOf(document, kind));
    }
  }

  static YAML::Node SpecOf(const YAML::Node& document, const Kind& kind) {
    YAML::Node node = document;
    for (const char* step : kind.way) {
      const YAML::Node next = node[step];
      if (!next.IsDefined() || !next.IsMap())
        throw YAML::ParserException(node.Mark(), fmt::format("this {} has no {}", kind.name, step));
      node.reset(next);
    }
    return node;
  }

  void PatchPod(const YAML::Node& pod) {
    const YAML::Node containers = pod["containers"];
    if (!containers.IsDefined() || !containers.IsSequence())
      throw YAML::ParserException(pod.Mark(), "this pod has no containers");
    for (const YAML::Node& volume : pod["volumes"]) {
      if (TextOf(volume["name"]) == injection_.volume)
        throw YAML::ParserException(
            volume.Mark(),
            fmt::format("there is a volume '{}' already; --volume gives ours another name", injection_.volume));
    }
    bool any = false;
    for (const YAML::Node& container : containers) {
      const std::string name = TextOf(container["name"]);
      if (!containers_.empty() && std::find(containers_.begin(), containers_.end(), name) == containers_.end())
        continue;
      found_.push_back(name);
      PatchContainer(container);
      any = true;
    }
    if (!any) return;
    ++pods_;
    const bool with_limits = std::any_of(containers.begin(), containers.end(), HasResources);
    text_.Prepend(pod, "initContainers", InitContainer(injection_, with_limits));
    text_.Prepend(pod, "volumes", {"- name: " + injection_.volume, "  emptyDir: {}"});
  }

  void PatchContainer(const YAML::Node& container) {
    YAML::Node preload;
    std::string existing;
    for (const YAML::Node& entry : container["env"]) {
      if (TextOf(entry["name"]) != "LD_PRELOAD") continue;
      if (!entry["value"].IsDefined() || !entry["value"].IsScalar())
        throw YAML::ParserException(
            entry.Mark(), "LD_PRELOAD comes from somewhere else than a value here; put the library into it there");
      preload.reset(entry["value"]);
      existing = preload.Scalar();
    }
    YamlItems variables;
    for (const auto& [name, value] : InjectedVariables(injection_, existing)) {
      if (name == "LD_PRELOAD" && preload.IsDefined() && preload.IsScalar()) {
        text_.ReplaceScalar(preload, value);
        continue;
      }
      variables.insert(variables.end(), {"- name: " + name, "  value: " + Quoted(value)});
    }
    text_.Prepend(container, "env", variables);
    text_.Prepend(container, "volumeMounts",
                  {"- name: " + injection_.volume, "  mountPath: " + Quoted(injection_.directory)});
  }

  YamlText text_;
  const std::vector<std::string>& containers_;
  const Injection& injection_;
  std::vector<std::string> found_;
  int pods_ = 0;
};

}  // namespace

ManifestOutcome PatchKubernetes(const std::string& manifest, const std::vector<std::string>& containers,
                                const Injection& injection) {
  return OutcomeOf([&] { return Patch(manifest, containers, injection).Run(); });
}

}  // namespace memtrace::injector
