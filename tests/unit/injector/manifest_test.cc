#include "injector/manifest/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

namespace memtrace::injector {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kDeployment = R"(# The shop – every word of this stays
kind: Deployment
spec:
  template:
    spec:
      containers:
        - name: web   # in front
          env:
            - name: LD_PRELOAD
              value: /usr/lib/libjemalloc.so.2
          resources: {limits: {memory: 64Mi}}
        - {name: side, env: []}
---
kind: Service
)";

std::string Value(const YAML::Node& container, const std::string& name) {
  for (const YAML::Node& entry : container["env"]) {
    if (entry["name"].as<std::string>() == name) return entry["value"].as<std::string>();
  }
  return "(none)";
}

TEST(KubernetesTest, EveryContainerOfThePodIsSetUp) {
  const ManifestOutcome outcome =
      PatchKubernetes(kDeployment, {}, {.image = "memtrace:1", .variables = {{"MEMTRACE_SAMPLE", "1"}}});
  ASSERT_EQ(outcome.error, "");
  const YAML::Node pod = YAML::LoadAll(outcome.text).at(0)["spec"]["template"]["spec"];
  EXPECT_EQ(pod["initContainers"][0]["image"].as<std::string>(), "memtrace:1");
  EXPECT_EQ(pod["initContainers"][0]["args"][0].as<std::string>(), "install");
  EXPECT_FALSE(pod["initContainers"][0]["securityContext"]["allowPrivilegeEscalation"].as<bool>());
  EXPECT_EQ(pod["initContainers"][0]["resources"]["limits"]["memory"].as<std::string>(), "64Mi");
  EXPECT_TRUE(pod["volumes"][0]["emptyDir"].IsMap());
  ASSERT_EQ(pod["containers"].size(), 2u);
  EXPECT_EQ(Value(pod["containers"][0], "LD_PRELOAD"), "/memtrace/libmemtrace.so:/usr/lib/libjemalloc.so.2");
  EXPECT_EQ(Value(pod["containers"][1], "LD_PRELOAD"), "/memtrace/libmemtrace.so");
  for (const YAML::Node& container : pod["containers"]) {
    EXPECT_EQ(Value(container, "MEMTRACE_DIR"), "/memtrace/recordings");
    EXPECT_EQ(Value(container, "MEMTRACE_SAMPLE"), "1");
    EXPECT_EQ(container["volumeMounts"][0]["mountPath"].as<std::string>(), "/memtrace");
  }
  EXPECT_EQ(pod["containers"][0]["resources"]["limits"]["memory"].as<std::string>(), "64Mi");
}

TEST(KubernetesTest, AllOtherTextStays) {
  const std::string text = PatchKubernetes(kDeployment, {}, {}).text;
  EXPECT_THAT(text, StartsWith("# The shop – every word of this stays\nkind: Deployment\n"));
  EXPECT_THAT(text, HasSubstr("web   # in front\n"));
  EXPECT_THAT(text, HasSubstr("          resources: {limits: {memory: 64Mi}}\n"));
  EXPECT_THAT(text, testing::EndsWith("---\nkind: Service\n"));
}

TEST(KubernetesTest, OnlyTheNamedContainer) {
  const ManifestOutcome outcome = PatchKubernetes(kDeployment, {"side"}, {});
  const YAML::Node containers = YAML::LoadAll(outcome.text).at(0)["spec"]["template"]["spec"]["containers"];
  EXPECT_EQ(Value(containers[0], "MEMTRACE_DIR"), "(none)");
  EXPECT_EQ(Value(containers[1], "MEMTRACE_DIR"), "/memtrace/recordings");
  EXPECT_THAT(PatchKubernetes(kDeployment, {"nobody"}, {}).error, HasSubstr("no container is named 'nobody'"));
}

TEST(KubernetesTest, EveryKindAndStyle) {
  const char* const kPod = "{containers: [{name: a}]}";
  for (const std::string& manifest :
       {std::string("kind: Pod\nspec: ") + kPod + "\n",
        std::string("kind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: ") + kPod + "}}}}\n",
        std::string("{\"kind\": \"List\", \"items\": [{\"kind\": \"Job\", \"spec\": {\"template\": {\"spec\": "
                    "{\"containers\": [{\"name\": \"a\"}]}}}}]}"),
        std::string("kind: StatefulSet\nspec:\n  template:\n    spec:\n      volumes:\n      containers:\n      - "
                    "name: a\n        env: null\n")}) {
    const ManifestOutcome outcome = PatchKubernetes(manifest, {}, {});
    EXPECT_EQ(outcome.error, "") << manifest;
    EXPECT_NO_THROW(YAML::LoadAll(outcome.text)) << outcome.text;
    EXPECT_THAT(outcome.text, HasSubstr("libmemtrace.so")) << manifest;
    EXPECT_THAT(outcome.text, HasSubstr("emptyDir")) << manifest;
    EXPECT_THAT(outcome.text, testing::Not(HasSubstr("limits"))) << manifest;
  }
}

TEST(KubernetesTest, WhatCannotBeDoneIsSaidWithItsPlace) {
  EXPECT_THAT(PatchKubernetes("kind: Pod\nspec: [\n", {}, {}).error, StartsWith("line 3, column 1: "));
  EXPECT_THAT(PatchKubernetes("kind: Deployment\nspec: {}\n", {}, {}).error,
              HasSubstr("line 2, column 7: this Deployment has no template"));
  EXPECT_THAT(PatchKubernetes("kind: Service\n", {}, {}).error, HasSubstr("there is no Pod"));
  EXPECT_THAT(PatchKubernetes("", {}, {}).error, HasSubstr("there is no Pod"));
  EXPECT_THAT(
      PatchKubernetes("kind: Pod\nspec:\n  containers:\n  - env:\n    - {name: LD_PRELOAD, valueFrom: {}}\n", {}, {})
          .error,
      HasSubstr("line 5"));
  EXPECT_THAT(
      PatchKubernetes("kind: Pod\nspec: {volumes: [{name: memtrace}], containers: [{name: a}]}\n", {}, {}).error,
      HasSubstr("--volume"));
}

TEST(ComposeTest, TheOverrideHoldsNothingElse) {
  const ManifestOutcome outcome = ComposeOverride(
      "services:\n  web: {image: x, mem_limit: 64m, environment: [A=1, LD_PRELOAD=/a.so]}\n  db: {image: y}\n",
      {"web", "db"}, {.library = "/opt/$m/libmemtrace.so", .variables = {}});
  ASSERT_EQ(outcome.error, "");
  const YAML::Node services = YAML::Load(outcome.text)["services"];
  EXPECT_EQ(services["web"].size(), 2u);
  EXPECT_EQ(services["web"]["environment"]["LD_PRELOAD"].as<std::string>(), "/memtrace/libmemtrace.so:/a.so");
  EXPECT_EQ(services["db"]["environment"]["LD_PRELOAD"].as<std::string>(), "/memtrace/libmemtrace.so");
  EXPECT_EQ(services["web"]["volumes"][0].as<std::string>(), "/opt/$$m/libmemtrace.so:/memtrace/libmemtrace.so:ro");
  EXPECT_TRUE(YAML::Load(outcome.text)["volumes"]["memtrace"].IsMap());
}

TEST(ComposeTest, AnUnknownServiceNamesTheKnownOnes) {
  EXPECT_THAT(ComposeOverride("services: {web: {image: x}, db: {image: y}}", {"app"}, {}).error,
              HasSubstr("it has web, db"));
  EXPECT_THAT(ComposeOverride("a: 1", {"app"}, {}).error, HasSubstr("no Compose file"));
  EXPECT_THAT(ComposeOverride("services: {", {"app"}, {}).error, StartsWith("line 1, column"));
}

TEST(DockerTest, OptionsComeBehindTheVerbAndThePreloadIsKept) {
  const Injection injection{.library = "/opt/m/libmemtrace.so", .variables = {}};
  EXPECT_EQ(
      DockerRunLine({"docker", "--debug", "run", "-e", "LD_PRELOAD=/x.so", "--rm", "image", "echo", "a b"}, injection)
          .text,
      "docker --debug run -v /opt/m/libmemtrace.so:/memtrace/libmemtrace.so:ro -v memtrace:/memtrace/recordings "
      "-e LD_PRELOAD=/memtrace/libmemtrace.so:/x.so -e MEMTRACE_DIR=/memtrace/recordings --rm image echo 'a b'\n");
  EXPECT_THAT(DockerRunLine({}, injection).text, StartsWith("-v /opt/m/"));
  EXPECT_THAT(DockerRunLine({"docker", "ps"}, injection).error, HasSubstr("docker run"));
}

}  // namespace
}  // namespace memtrace::injector
