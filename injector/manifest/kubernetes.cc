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

YamlEntry NamedValue(const std::string& name, const std::string& value) {
  return {{"- name: " + name, "  value: " + Quoted(value)},
          fmt::format("{{\"name\": {}, \"value\": {}}}", Quoted(name), Quoted(value))};
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
    const std::string& volume = injection_.volume;
    const std::string& directory = injection_.directory;
    text_.Prepend(
        pod, "initContainers",
        {{"- name: memtrace", "  image: " + Quoted(injection_.image), "  args: [install, " + Quoted(directory) + "]",
          "  volumeMounts:", "    - name: " + volume, "      mountPath: " + Quoted(directory)},
         fmt::format("{{\"name\": \"memtrace\", \"image\": {}, \"args\": [\"install\", {}], \"volumeMounts\": "
                     "[{{\"name\": {}, \"mountPath\": {}}}]}}",
                     Quoted(injection_.image), Quoted(directory), Quoted(volume), Quoted(directory))});
    text_.Prepend(
        pod, "volumes",
        {{"- name: " + volume, "  emptyDir: {}"}, fmt::format("{{\"name\": {}, \"emptyDir\": {{}}}}", Quoted(volume))});
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
    YamlEntry all;
    for (const auto& [name, value] : InjectedVariables(injection_, existing)) {
      if (name == "LD_PRELOAD" && preload.IsDefined() && preload.IsScalar()) {
        text_.ReplaceScalar(preload, value);
        continue;
      }
      const YamlEntry variable = NamedValue(name, value);
      all.lines.insert(all.lines.end(), variable.lines.begin(), variable.lines.end());
      all.flow += (all.flow.empty() ? "" : ", ") + variable.flow;
    }
    text_.Prepend(container, "env", all);
    text_.Prepend(
        container, "volumeMounts",
        {{"- name: " + injection_.volume, "  mountPath: " + Quoted(injection_.directory)},
         fmt::format("{{\"name\": {}, \"mountPath\": {}}}", Quoted(injection_.volume), Quoted(injection_.directory))});
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
