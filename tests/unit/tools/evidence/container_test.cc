// The states of containers, in documents and in pieces of text.
#include <gmock/gmock.h>

#include <string>

#include "tests/unit/tools/evidence/read_text.h"

namespace memtrace::tools {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kSecond = 1000000000;
const std::string kId = std::string(32, 'a') + std::string(32, '1');

std::string Inspect(const std::string& more = "") {
  return R"([
    {
        "Id": ")" +
         kId + R"(",
        "Name": "/orders",
        "RestartCount": 2,
        "State": {
            "Status": "exited",
            "Running": false,
            "OOMKilled": true,
            "Pid": 0,
            "ExitCode": 137,
            "Error": "",
            "StartedAt": "2026-03-03T04:05:06.5Z",
            "FinishedAt": "2026-03-03T04:06:06Z"
        },
        "HostConfig": {"Memory": 67108864, "MemorySwap": -1, "MemoryReservation": 0, "PidsLimit": null, "OomKillDisable": false},
        "Config": {"Image": "shop/orders:3"})" +
         more + "\n    }\n]\n";
}

TEST(ContainerTest, ReadsDockerInspect) {
  const Evidence evidence = ReadText(Inspect());
  ASSERT_THAT(evidence.containers, SizeIs(1));
  const ContainerState& state = evidence.containers[0];
  EXPECT_EQ(state.runtime, "docker");
  EXPECT_EQ(state.id, kId);
  EXPECT_EQ(state.name, "orders");
  EXPECT_EQ(state.image, "shop/orders:3");
  EXPECT_EQ(state.oom_killed, true);
  EXPECT_EQ(state.exit_code, 137);
  EXPECT_EQ(state.pid, std::nullopt);
  EXPECT_EQ(state.restart_count, 2U);
  EXPECT_EQ(*state.finished.unix_ns - *state.started.unix_ns, 59 * kSecond + kSecond / 2);
  EXPECT_EQ(state.limits.memory_bytes, 67108864U);
  EXPECT_EQ(state.limits.memory_swap_bytes, kNoLimit);
  EXPECT_EQ(state.limits.reservation_bytes, std::nullopt);
  EXPECT_EQ(state.limits.pids, std::nullopt);
  EXPECT_EQ(evidence.Where(state.place), "input:9");
}

TEST(ContainerTest, ReadsTheSameFromAnExcerpt) {
  const std::string whole = Inspect();
  const size_t begin = whole.find("            \"Status\"");
  std::string piece = whole.substr(begin, whole.find("        },", begin) - begin);
  piece.insert(piece.find("true,") + 5, "   <--- here");
  const Evidence evidence = ReadText(piece);
  ASSERT_THAT(evidence.containers, SizeIs(1));
  EXPECT_EQ(evidence.containers[0].status, "exited");
  EXPECT_EQ(evidence.containers[0].oom_killed, true);
  EXPECT_EQ(evidence.containers[0].exit_code, 137);
  EXPECT_TRUE(evidence.containers[0].finished.unix_ns.has_value());
}

struct OneLine {
  const char* text;
  std::optional<bool> oom_killed;
  std::optional<int> exit_code;
};
constexpr OneLine kOneLines[] = {
    {"OOMKilled=true ExitCode=137", true, 137},
    {"exit_code: 137, oomkilled: false", false, 137},
    {"true 137", true, 137},
    {"/orders false 1", false, 1},
    {"{exited false false false true false 0 137  2026-03-03T04:05:06Z 2026-03-03T04:06:06Z <nil>}", true, 137},
    {R"({"Status":"exited","Running":false,"OOMKilled":true,"Dead":false,"Pid":0,"ExitCode":137})", true, 137},
    {R"({"OOMKilled":true,"ExitCode":137,...)", true, 137},
    {"0123456789ab   shop/orders:3   \"/start\"   2 hours ago   Exited (137) 5 minutes ago   orders", std::nullopt,
     137},
};

TEST(ContainerTest, ReadsOneLine) {
  for (const OneLine& line : kOneLines) {
    SCOPED_TRACE(line.text);
    const Evidence evidence = ReadText(line.text);
    ASSERT_THAT(evidence.containers, SizeIs(1));
    EXPECT_EQ(evidence.containers[0].oom_killed, line.oom_killed);
    EXPECT_EQ(evidence.containers[0].exit_code, line.exit_code);
  }
}

constexpr char kPodYaml[] = R"(apiVersion: v1
kind: Pod
metadata:
  name: orders-0
  namespace: shop
spec:
  containers:
  - name: web
    image: shop/orders:3
    resources:
      limits:
        memory: 256Mi
      requests:
        memory: 100M
status:
  phase: Running
  containerStatuses:
  - containerID: containerd://c0ffee
    name: web
    restartCount: 4
    lastState:
      terminated:
        exitCode: 137
        reason: OOMKilled
        startedAt: "2026-03-03T04:05:06Z"
        finishedAt: "2026-03-03T04:06:06Z"
    state:
      running:
        startedAt: "2026-03-03T04:06:10Z"
)";

void ExpectPod(const Evidence& evidence) {
  ASSERT_THAT(evidence.containers, SizeIs(2));
  const ContainerState& now = evidence.containers[0];
  const ContainerState& last = evidence.containers[1];
  EXPECT_EQ(now.status, "running");
  EXPECT_FALSE(now.previous);
  EXPECT_EQ(now.oom_killed, std::nullopt);
  EXPECT_TRUE(last.previous);
  EXPECT_EQ(last.oom_killed, true);
  EXPECT_EQ(last.exit_code, 137);
  EXPECT_EQ(last.pod, "orders-0");
  EXPECT_EQ(last.name, "web");
  EXPECT_EQ(last.restart_count, 4U);
  EXPECT_EQ(last.limits.memory_bytes, 256U << 20);
  EXPECT_EQ(last.limits.reservation_bytes, 100000000U);
}

TEST(ContainerTest, ReadsPodsAsYamlAndJson) {
  ExpectPod(ReadText(kPodYaml));
  ExpectPod(ReadText(
      R"({"apiVersion":"v1","kind":"List","items":[{"kind":"Pod","metadata":{"name":"orders-0"},"spec":{"containers":[
      {"name":"web","resources":{"limits":{"memory":"256Mi"},"requests":{"memory":"100M"}}}]},"status":{"containerStatuses":[
      {"name":"web","restartCount":4,"state":{"running":{"startedAt":"2026-03-03T04:06:10Z"}},
       "lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled"}}}]}}]})"));
}

TEST(ContainerTest, ReadsKubectlDescribe) {
  const Evidence evidence = ReadText(
      "Name:         orders-0\n"
      "Namespace:    shop\n"
      "Containers:\n"
      "  web:\n"
      "    Container ID:   containerd://c0ffee\n"
      "    Image:          shop/orders:3\n"
      "    State:          Running\n"
      "      Started:      Tue, 03 Mar 2026 05:06:10 +0100\n"
      "    Last State:     Terminated\n"
      "      Reason:       OOMKilled\n"
      "      Exit Code:    137\n"
      "      Started:      Tue, 03 Mar 2026 05:05:06 +0100\n"
      "      Finished:     Tue, 03 Mar 2026 05:06:06 +0100\n"
      "    Ready:          True\n"
      "    Restart Count:  4\n"
      "    Limits:\n"
      "      memory:  256Mi\n"
      "    Requests:\n"
      "      memory:  100M\n"
      "Conditions:\n"
      "Events:\n"
      "  Type     Reason      Age  From     Message\n"
      "  Warning  BackOff     2m   kubelet  Back-off restarting failed container\n");
  ASSERT_THAT(evidence.containers, SizeIs(1));
  const ContainerState& last = evidence.containers[0];
  EXPECT_TRUE(last.previous);
  EXPECT_EQ(last.name, "web");
  EXPECT_EQ(last.pod, "orders-0");
  EXPECT_EQ(last.reason, "OOMKilled");
  EXPECT_EQ(last.oom_killed, true);
  EXPECT_EQ(last.exit_code, 137);
  EXPECT_EQ(last.restart_count, 4U);
  EXPECT_EQ(last.limits.memory_bytes, 256U << 20);
  EXPECT_EQ(*last.finished.unix_ns - *last.started.unix_ns, 60 * kSecond);
  ASSERT_THAT(evidence.events, SizeIs(1));
  EXPECT_EQ(evidence.events[0].action, "BackOff");
}

TEST(ContainerTest, ReadsCrictl) {
  const Evidence evidence = ReadText(
      R"({"status":{"id":"c0ffee","metadata":{"attempt":3,"name":"web"},"state":"CONTAINER_EXITED","exitCode":137,
      "reason":"OOMKilled","startedAt":"2026-03-03T04:05:06Z","finishedAt":"2026-03-03T04:06:06Z",
      "labels":{"io.kubernetes.pod.name":"orders-0"}},"info":{"pid":0,"runtimeSpec":{"linux":{"resources":{"memory":
      {"limit":268435456}}}}}})");
  ASSERT_THAT(evidence.containers, SizeIs(1));
  EXPECT_EQ(evidence.containers[0].runtime, "cri");
  EXPECT_EQ(evidence.containers[0].oom_killed, true);
  EXPECT_EQ(evidence.containers[0].pod, "orders-0");
  EXPECT_EQ(evidence.containers[0].limits.memory_bytes, 268435456U);
}

TEST(ContainerTest, IsNotFooledByServices) {
  for (const char* text :
       {"Mar  3 04:05:06 h app[7]: worker exit code: 137", "2026-03-03T04:05:06Z ExitCode=137 from child",
        "{\"level\":\"info\",\"reason\":\"done\"}", "Name: x\nStatus: Running\n"}) {
    EXPECT_THAT(ReadText(text).containers, IsEmpty()) << text;
  }
}

TEST(ContainerTest, SurvivesDeepAndBrokenDocuments) {
  EXPECT_THAT(ReadText(std::string(200000, '[')).containers, IsEmpty());
  std::string deep;
  for (int i = 0; i < 50000; ++i) deep += R"({"items":[)";
  EXPECT_THAT(ReadText(deep).containers, IsEmpty());
  EXPECT_THAT(ReadText("a: &a [x]\nb: &b [*a,*a]\nkind: *b\nservices: [*b, *b\n").declared, IsEmpty());
  EXPECT_THAT(ReadText("kind: Pod\n}}, x\n").containers, IsEmpty());
  EXPECT_THAT(ReadText(Inspect().substr(0, 300)).containers, SizeIs(1));
}

TEST(DeclaredLimitsTest, ReadsCompose) {
  const Evidence evidence = ReadText(
      "services:\n"
      "  web:\n"
      "    image: shop/web\n"
      "    mem_limit: 512m\n"
      "    memswap_limit: 1g\n"
      "    mem_reservation: 256m\n"
      "    pids_limit: 100\n"
      "  job:\n"
      "    deploy:\n"
      "      resources:\n"
      "        limits:\n"
      "          memory: 64M\n"
      "  free:\n"
      "    image: shop/free\n");
  ASSERT_THAT(evidence.declared, SizeIs(3));
  const auto find = [&](const std::string& name) -> const DeclaredLimits& {
    for (const DeclaredLimits& declared : evidence.declared)
      if (declared.name == name) return declared;
    return evidence.declared[0];
  };
  EXPECT_EQ(find("web").limits.memory_bytes, 512U << 20);
  EXPECT_EQ(find("web").limits.memory_swap_bytes, uint64_t{1} << 30);
  EXPECT_EQ(find("web").limits.reservation_bytes, 256U << 20);
  EXPECT_EQ(find("web").limits.pids, 100U);
  EXPECT_EQ(find("job").limits.memory_bytes, 64U << 20);
  EXPECT_EQ(find("free").limits.memory_bytes, std::nullopt);
  EXPECT_EQ(find("web").place.line, 2U);
  EXPECT_EQ(find("job").place.line, 8U);
  EXPECT_EQ(find("free").place.line, 13U);
}

TEST(DeclaredLimitsTest, SwapOfZeroIsAsIfItWereNotThere) {
  EXPECT_EQ(ReadText("docker run --memory=64m --memory-swap=0 a").declared.at(0).limits.memory_swap_bytes,
            std::nullopt);
  const Evidence compose = ReadText("services:\n  web: {mem_limit: 64m, memswap_limit: 0}\n");
  EXPECT_EQ(compose.declared.at(0).limits.memory_swap_bytes, std::nullopt);
}

TEST(DeclaredLimitsTest, ReadsRunLines) {
  const Evidence evidence = ReadText(
      "$ docker run -d --rm --name web -e A=b \\\n"
      "    --memory=512m --memory-swap -1 --pids-limit 0 \\\n"
      "    -p 80:80 shop/web:3 --memory 7g\n"
      "podman run -it -m 64m alpine sh\n"
      "docker run --rm alpine true\n");
  ASSERT_THAT(evidence.declared, SizeIs(2));
  const DeclaredLimits& web = evidence.declared[0];
  EXPECT_EQ(web.name, "web");
  EXPECT_EQ(web.image, "shop/web:3");
  EXPECT_EQ(web.limits.memory_bytes, 512U << 20);
  EXPECT_EQ(web.limits.memory_swap_bytes, kNoLimit);
  EXPECT_EQ(web.limits.pids, kNoLimit);
  EXPECT_EQ(evidence.Where(web.place), "input:1");
  EXPECT_EQ(evidence.declared[1].image, "alpine");
  EXPECT_EQ(evidence.declared[1].limits.memory_bytes, 64U << 20);
}

TEST(DeclaredLimitsTest, ReadsManifests) {
  const Evidence evidence = ReadText(
      "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      "
      "containers:\n"
      "      - name: main\n        resources:\n          limits: {memory: 1Gi}\n");
  ASSERT_THAT(evidence.declared, SizeIs(1));
  EXPECT_EQ(evidence.declared[0].name, "main");
  EXPECT_EQ(evidence.declared[0].limits.memory_bytes, uint64_t{1} << 30);
}

}  // namespace
}  // namespace memtrace::tools
