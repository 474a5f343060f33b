#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/tools/recording_builder.h"
#include "tools/analysis/join.h"
#include "tools/analysis/settings.h"
#include "tools/common/quantity.h"
#include "tools/symbols/symbolizer.h"

namespace memtrace::tools {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kMiB = 1 << 20;
constexpr const char* kId = "4f6e0a81c53d2b97e8a1d4c6f0b2937581ac6d0e9f3b7c24581d6e0fa9b3c7d2";

// A kill in a container of 64 MiB, of which `parts` say what filled it.
std::unique_ptr<Evidence> Killed(std::initializer_list<std::pair<const char*, uint64_t>> parts) {
  auto evidence = std::make_unique<Evidence>();
  evidence->files.push_back({"kern.log", "kernel log", {}});
  OomReport report;
  report.place = {0, 10};
  report.scope = OomScope::kMemcg;
  report.memory = {64 << 10, 64 << 10, 7};
  report.oom_memcg = report.task_memcg = std::string("/docker/") + kId;
  MemcgStats stats{{0, 20}, report.oom_memcg, false, {}};
  for (const auto& [name, bytes] : parts) stats.values.all.emplace_back(name, bytes);
  report.stats.push_back(stats);
  report.kills = {0};
  evidence->reports.push_back(report);
  OomKill kill;
  kill.place = {0, 40};
  kill.report = 0;
  kill.pid = 31337;
  kill.comm = "shop";
  kill.scope = OomScope::kMemcg;
  kill.anon_rss_kb = 50 << 10;
  kill.usage_kb = kill.limit_kb = 64 << 10;
  kill.oom_memcg = kill.task_memcg = report.oom_memcg;
  kill.container_id = kId;
  evidence->kills.push_back(kill);
  return evidence;
}

void AddTask(Evidence* evidence, uint32_t pid, const char* name, uint64_t pages) {
  TaskRow row;
  row.place = {0, 30};
  row.pid = row.tgid = pid;
  row.rss_pages = pages;
  row.name = name;
  evidence->reports[0].tasks.push_back(row);
}

std::unique_ptr<Evidence> State(const std::function<void(ContainerState*)>& describe) {
  auto evidence = std::make_unique<Evidence>();
  evidence->files.push_back({"inspect.json", "docker inspect", {}});
  ContainerState state;
  state.place = {0, 5};
  state.id = kId;
  describe(&state);
  evidence->containers.push_back(state);
  return evidence;
}

Verdict VerdictOn(std::unique_ptr<Evidence> evidence) {
  std::vector<Report> reports;
  JoinEvidence(std::move(evidence), &reports);
  EXPECT_EQ(reports.size(), 1u);
  EXPECT_FALSE(reports[0].recorded);
  return reports[0].verdict;
}

// --- Evidence alone ---

struct PartCase {
  const char* cause;
  std::initializer_list<std::pair<const char*, uint64_t>> parts;
};

TEST(VerdictTest, TheKindOfMemoryThatFillsTheLimitIsTheCause) {
  const PartCase cases[] = {
      {"shmem", {{"anon", 4 * kMiB}, {"file", 58 * kMiB}, {"shmem", 57 * kMiB}, {"kernel", 2 * kMiB}, {"sock", 0}}},
      {"page-cache", {{"anon", 8 * kMiB}, {"file", 54 * kMiB}, {"shmem", 0}, {"kernel", 2 * kMiB}, {"sock", 0}}},
      {"sockets", {{"anon", 12 * kMiB}, {"file", 2 * kMiB}, {"shmem", 0}, {"kernel", 2 * kMiB}, {"sock", 48 * kMiB}}},
      {"kernel-memory",
       {{"anon", 9 * kMiB}, {"file", 1 * kMiB}, {"shmem", 0}, {"kernel", 54 * kMiB}, {"slab", 50 * kMiB}}},
      {"shmem",
       {{"total_rss", 4 * kMiB}, {"total_cache", 60 * kMiB}, {"total_shmem", 59 * kMiB}, {"rss", 0}, {"cache", 0}}},
  };
  for (const PartCase& part : cases) {
    const Verdict verdict = VerdictOn(Killed(part.parts));
    EXPECT_EQ(verdict.cause, part.cause);
    EXPECT_EQ(verdict.confidence, Confidence::kConfirmed) << part.cause;
    EXPECT_THAT(verdict.summary, HasSubstr("The kernel killed shop (pid 31337): the limit of 64.0 MiB was reached."));
    EXPECT_THAT(verdict.evidence, Contains(HasSubstr("kern.log:40: the kernel killed shop (pid 31337)")));
    EXPECT_THAT(verdict.evidence, Contains(HasSubstr("kern.log:20: ")));
    EXPECT_THAT(verdict.evidence, Contains(HasSubstr("ruled out, ")));
  }
}

TEST(VerdictTest, AKernelLogAloneIsNeverALeak) {
  const Verdict verdict = VerdictOn(Killed({{"anon", 62 * kMiB}, {"file", kMiB}, {"shmem", 0}, {"kernel", kMiB}}));
  EXPECT_EQ(verdict.cause, "unknown");
  EXPECT_THAT(verdict.summary, HasSubstr("62.0 MiB of anonymous memory"));
  EXPECT_THAT(verdict.summary, HasSubstr("takes a recording"));
  EXPECT_THAT(verdict.advice, Contains(HasSubstr("memtrace inject")));
}

TEST(VerdictTest, ManySmallProcesses) {
  auto evidence = Killed({{"anon", 60 * kMiB}, {"file", 0}, {"shmem", 0}, {"kernel", 4 * kMiB}});
  for (uint32_t pid = 1; pid <= 40; ++pid) AddTask(evidence.get(), pid, "sh", 380);
  AddTask(evidence.get(), 31337, "shop", 400);
  const Verdict verdict = VerdictOn(std::move(evidence));
  EXPECT_EQ(verdict.cause, "threads-or-processes");
  EXPECT_THAT(verdict.summary, HasSubstr("41 processes"));
  EXPECT_THAT(verdict.advice, Contains("docker run --pids-limit=200"));
}

TEST(VerdictTest, ManyIdleProcessesBesideAFullTmpfs) {
  auto evidence = Killed({{"anon", 4 * kMiB}, {"file", 58 * kMiB}, {"shmem", 57 * kMiB}, {"kernel", 2 * kMiB}});
  for (uint32_t pid = 1; pid <= 40; ++pid) AddTask(evidence.get(), pid, "sh", 25);
  EXPECT_EQ(VerdictOn(std::move(evidence)).cause, "shmem");
}

TEST(VerdictTest, ManyProcessesThatHoldMoreOfTheKernelThanOfTheirOwn) {
  auto evidence = Killed({{"anon", 6 * kMiB}, {"file", 0}, {"shmem", 0}, {"kernel", 57 * kMiB}});
  AddTask(evidence.get(), 31337, "shop", 900);
  for (uint32_t pid = 1; pid <= 200; ++pid) AddTask(evidence.get(), pid, "sh", 4);
  EXPECT_EQ(VerdictOn(std::move(evidence)).cause, "threads-or-processes");
}

TEST(VerdictTest, OneSmallProcessAfterTheOtherIsKilled) {
  // The dead are not waited for, so that in the end the kernel holds most: but it is they whom it holds it for.
  auto evidence = Killed({{"anon", 4 * kMiB}, {"file", 0}, {"shmem", 0}, {"kernel", 59 * kMiB}});
  evidence->kills[0].anon_rss_kb = 900;
  for (uint32_t pid = 100; pid < 160; ++pid) {
    OomKill kill = evidence->kills[0];
    kill.report.reset();
    kill.usage_kb = kill.limit_kb = std::nullopt;
    kill.oom_memcg = kill.task_memcg = kill.container_id = "";  // the kernel no longer says it
    kill.pid = pid;
    kill.time.uptime_s = pid;
    evidence->kills.push_back(kill);
  }
  const Verdict verdict = VerdictOn(std::move(evidence));
  EXPECT_EQ(verdict.cause, "threads-or-processes");
  EXPECT_THAT(verdict.summary, HasSubstr("61 processes named shop were killed for it within"));
}

TEST(VerdictTest, AServiceThatIsKilledAgainAndAgainIsNoStorm) {
  auto evidence = Killed({{"anon", 60 * kMiB}, {"file", 0}, {"shmem", 0}, {"kernel", kMiB}});
  for (uint32_t pid = 100; pid < 160; ++pid) {
    evidence->kills.push_back(evidence->kills[0]);
    evidence->kills.back().pid = pid;
  }
  EXPECT_EQ(VerdictOn(std::move(evidence)).cause, "unknown");
}

TEST(VerdictTest, TheKernelsCostOfThreads) {
  EXPECT_EQ(VerdictOn(Killed({{"anon", 20 * kMiB},
                              {"file", 0},
                              {"shmem", 0},
                              {"kernel", 42 * kMiB},
                              {"kernel_stack", 8 * kMiB},
                              {"pagetables", 10 * kMiB}}))
                .cause,
            "threads-or-processes");
  EXPECT_EQ(VerdictOn(Killed({{"anon", 20 * kMiB},
                              {"file", 0},
                              {"shmem", 0},
                              {"kernel", 42 * kMiB},
                              {"kernel_stack", kMiB / 4},
                              {"pagetables", 30 * kMiB}}))
                .cause,
            "kernel-memory");
}

TEST(VerdictTest, TheVictimIsNotTheCause) {
  auto evidence = Killed({{"anon", 62 * kMiB}, {"file", 0}, {"shmem", 0}, {"kernel", 2 * kMiB}});
  AddTask(evidence.get(), 31337, "shop", 1500);
  AddTask(evidence.get(), 31400, "backup", 14000);
  const Verdict verdict = VerdictOn(std::move(evidence));
  EXPECT_EQ(verdict.cause, "other-process");
  EXPECT_THAT(verdict.summary, HasSubstr("backup (pid 31400) held 54.7 MiB"));
}

TEST(VerdictTest, WhoseLimit) {
  auto ancestor = Killed({{"anon", 62 * kMiB}});
  ancestor->kills[0].oom_memcg = "/kubepods/burstable/pod1";
  ancestor->kills[0].task_memcg = std::string("/kubepods/burstable/pod1/") + kId;
  const Verdict pod = VerdictOn(std::move(ancestor));
  EXPECT_EQ(pod.cause, "ancestor-limit");
  EXPECT_THAT(pod.summary, HasSubstr("/kubepods/burstable/pod1"));

  auto inside = Killed({{"anon", 62 * kMiB}});
  inside->kills[0].task_memcg += "/init.scope";  // systemd in the container: its own limit all the same
  EXPECT_EQ(VerdictOn(std::move(inside)).cause, "unknown");

  auto host = Killed({});
  host->kills[0].scope = OomScope::kGlobal;
  host->kills[0].usage_kb = host->kills[0].limit_kb = std::nullopt;
  AddTask(host.get(), 900, "mysqld", 1 << 20);
  const Verdict global = VerdictOn(std::move(host));
  EXPECT_EQ(global.cause, "host-oom");
  EXPECT_THAT(global.evidence, Contains(HasSubstr("mysqld (pid 900) 4.0 GiB")));
}

TEST(VerdictTest, ALimitThatIsSmallerThanTheDeclaredOneIsAnAncestors) {
  auto evidence = Killed({{"anon", 62 * kMiB}});
  evidence->kills[0].oom_memcg = evidence->kills[0].task_memcg = "";
  ContainerState state;
  state.id = kId;
  state.limits.memory_bytes = 256 * kMiB;
  evidence->containers.push_back(state);
  EXPECT_EQ(VerdictOn(std::move(evidence)).cause, "ancestor-limit");
}

TEST(VerdictTest, SwapFull) {
  auto evidence = Killed({{"anon", 62 * kMiB}});
  evidence->reports[0].swap = {32 << 10, 32 << 10, 1};
  EXPECT_EQ(VerdictOn(std::move(evidence)).cause, "swap-exhausted");
}

TEST(VerdictTest, ChargesThatNobodyOwns) {
  auto evidence = Killed({{"cache", kMiB}, {"rss", 20 * kMiB}});
  evidence->reports[0].kmem = {2 << 10, 64 << 10, 0};
  EXPECT_EQ(VerdictOn(std::move(evidence)).cause, "accounting-fault");
}

// --- Whether it was an OOM at all ---

TEST(VerdictTest, ExitCode137AloneIsNoProof) {
  const Verdict verdict = VerdictOn(State([](ContainerState* state) {
    state->status = "exited";
    state->exit_code = 137;
    state->oom_killed = false;
  }));
  EXPECT_EQ(verdict.cause, "unknown");
  EXPECT_THAT(verdict.summary, HasSubstr("not who sent it"));
  EXPECT_THAT(verdict.evidence, Contains(HasSubstr("inspect.json:5: exit code 137 is SIGKILL")));
}

TEST(VerdictTest, TheStateSaysOomKilled) {
  const Verdict verdict = VerdictOn(State([](ContainerState* state) {
    state->exit_code = 137;
    state->oom_killed = true;
  }));
  EXPECT_EQ(verdict.cause, "unknown");
  EXPECT_THAT(verdict.summary, HasSubstr("killed for memory"));
}

TEST(VerdictTest, AChildWasKilledAndTheContainerRuns) {
  const Verdict verdict = VerdictOn(State([](ContainerState* state) {
    state->running = true;
    state->exit_code = 0;
    state->oom_killed = true;
  }));
  EXPECT_EQ(verdict.cause, "unknown");
  EXPECT_THAT(verdict.summary, HasSubstr("not its main process"));
}

TEST(VerdictTest, EndedByItself) {
  const auto with_code = [](int code) {
    return VerdictOn(State([code](ContainerState* state) {
      state->status = "exited";
      state->exit_code = code;
      state->oom_killed = false;
    }));
  };
  EXPECT_EQ(with_code(1).cause, "not-oom");
  EXPECT_EQ(with_code(143).cause, "not-oom");
  EXPECT_EQ(with_code(137).cause, "unknown");
}

TEST(VerdictTest, SomebodyElseKilled) {
  auto stopped = State([](ContainerState* state) { state->exit_code = 137; });
  RuntimeEvent event;
  event.action = "kill";
  event.signal = 9;
  event.id = kId;
  stopped->events.push_back(event);
  EXPECT_EQ(VerdictOn(std::move(stopped)).cause, "not-oom");

  auto oomd = std::make_unique<Evidence>();
  oomd->notices.push_back({{}, {}, NoticeKind::kUserSpaceKiller, "/system.slice/shop.service", std::nullopt});
  const Verdict verdict = VerdictOn(std::move(oomd));
  EXPECT_EQ(verdict.cause, "not-oom");
  EXPECT_EQ(verdict.confidence, Confidence::kConfirmed);
}

TEST(VerdictTest, NothingHappened) {
  auto evidence = std::make_unique<Evidence>();
  evidence->files.push_back({"dmesg", "kernel log", {}});
  const Verdict verdict = VerdictOn(std::move(evidence));
  EXPECT_EQ(verdict.cause, "none");
  EXPECT_THAT(verdict.summary, HasSubstr("no proof that nothing happened"));
}

TEST(VerdictTest, AnEvictionSaysForWant) {
  auto evidence = std::make_unique<Evidence>();
  evidence->files.push_back({"kubelet.log", "kernel log", {}});
  evidence->notices.push_back({{0, 1}, {}, NoticeKind::kEvictionReason, "ephemeral-storage", {}});
  evidence->notices.push_back({{0, 2}, {}, NoticeKind::kEviction, "shop/web-0", {}});
  const Verdict verdict = VerdictOn(std::move(evidence));
  EXPECT_EQ(verdict.cause, "not-oom");
  EXPECT_THAT(verdict.summary, HasSubstr("short of ephemeral-storage, not of memory"));
}

TEST(VerdictTest, AMonitorSawItGrow) {
  auto evidence = std::make_unique<Evidence>();
  evidence->files.push_back({"memory.csv", "memory samples", {}});
  for (uint32_t i = 0; i < 20; ++i) {
    Sample sample;
    sample.place = {0, i + 2};
    sample.time.unix_ns = int64_t{i + 1} * 10000000000;
    sample.memory_bytes = (100 + i) * kMiB;
    sample.limit_bytes = 129 * kMiB;
    evidence->samples.push_back(sample);
  }
  const Verdict verdict = VerdictOn(std::move(evidence));
  EXPECT_EQ(verdict.cause, "unknown");
  EXPECT_NEAR(verdict.time_to_limit_s.value_or(0), 100, 1);
  EXPECT_THAT(verdict.summary, HasSubstr("the limit of 129.0 MiB is"));
  EXPECT_THAT(verdict.summary, HasSubstr("takes a recording"));
}

TEST(VerdictTest, RowsOfOneContainerSayWhatItUses) {
  for (const bool two : {false, true}) {
    auto evidence = std::make_unique<Evidence>();
    evidence->files.push_back({"stats.txt", "memory samples", {}});
    for (const uint64_t used : {300, 456}) {
      Sample sample;
      sample.id = two && used == 456 ? "b1b2c3d4e5f6" : "a1b2c3d4e5f6";
      sample.memory_bytes = used * kMiB;
      sample.limit_bytes = 512 * kMiB;
      evidence->samples.push_back(sample);
    }
    std::vector<Report> reports;
    JoinEvidence(std::move(evidence), &reports);
    EXPECT_EQ(reports.at(0).cgroup.usage_bytes, two ? Bytes() : Bytes(456 * kMiB));
    EXPECT_EQ(reports.at(0).cgroup.limit_bytes, two ? Bytes() : Bytes(512 * kMiB));
  }
}

// --- With a recording ---

class JoinedTest : public ::testing::Test {
 protected:
  JoinedTest() {
    builder_.header().pid = 7;
    builder_.AddBlob(format::BlobKind::kExecutable, "", "/usr/bin/shop");
    builder_.AddBlob(format::BlobKind::kHostname, "", std::string(kId).substr(0, 12));
    builder_.AddBlob(format::BlobKind::kCgroupPath, "", "/");
    const uint32_t node = builder_.AddStack({0x1000}, builder_.AddModule("/usr/bin/shop"));
    builder_.Allocate(0x10000000, 40 * kMiB, node);
    builder_.AllocateAndFree(1000, 100, node, 10000);
  }
  Report Join(std::unique_ptr<Evidence> evidence) {
    ProcessStates states;
    states.push_back(builder_.Decode());
    std::vector<Report> reports;
    reports.push_back(BuildReport(std::move(states), &symbolizer_, "/nonexistent"));
    JoinEvidence(std::move(evidence), &reports);
    return std::move(reports[0]);
  }
  RecordingBuilder builder_;
  Symbolizer symbolizer_{SymbolOptions{}};
};

TEST_F(JoinedTest, TheContainersIdMakesTheKillThisProcess) {
  const Report report = Join(Killed({{"anon", 62 * kMiB}, {"file", kMiB}, {"shmem", 0}, {"kernel", kMiB}}));
  EXPECT_TRUE(report.evidence->kills[0].is_target);
  EXPECT_EQ(report.verdict.cause, "limit-too-low");
  EXPECT_EQ(report.verdict.recommended_limit_bytes, Bytes(80 * kMiB));
  EXPECT_THAT(report.verdict.advice, Contains("docker run --memory=80m --memory-swap=80m"));
  EXPECT_THAT(report.verdict.advice, Contains("Compose: mem_limit: 80m"));
}

TEST_F(JoinedTest, WhatFillsUpToTheLimitIsNoCleanBill) {
  const uint32_t fills = builder_.AddStack({0x2000}, 0);
  const uint32_t works = builder_.AddStack({0x3000}, 0);
  for (uint64_t i = 0; i < 2000; ++i) {
    builder_.Allocate(0x20000000 + i * 0x10000, 20000, fills);
    builder_.AllocateAndFree(2000 * (i + 1), 1, works, 2000 * (i + 1));
  }
  const Report report = Join(Killed({{"anon", 62 * kMiB}, {"file", kMiB}, {"shmem", 0}, {"kernel", kMiB}}));
  ASSERT_EQ(report.suspects.size(), 1u);
  EXPECT_EQ(report.suspects[0].kind, SuspectKind::kStillFilling) << report.suspects[0].why;
  EXPECT_EQ(report.verdict.cause, "limit-too-low");
  EXPECT_EQ(report.verdict.confidence, Confidence::kPossible);
  EXPECT_THAT(report.verdict.summary, HasSubstr("was still filling when the limit"));
  EXPECT_THAT(report.verdict.summary, Not(HasSubstr("Nothing leaks")));
}

TEST_F(JoinedTest, AnotherContainersKillIsNot) {
  auto evidence = Killed({{"anon", 62 * kMiB}});
  evidence->kills[0].container_id[0] = '5';
  const Report report = Join(std::move(evidence));
  EXPECT_FALSE(report.evidence->kills[0].is_target);
  EXPECT_EQ(report.incident.kill, nullptr);
  EXPECT_EQ(report.verdict.cause, "none");
  EXPECT_THAT(report.verdict.evidence, Contains(HasSubstr("none of this process")));
}

TEST_F(JoinedTest, AKillBeforeItsBirthIsNot) {
  auto evidence = Killed({{"anon", 62 * kMiB}});
  evidence->kills[0].time.unix_ns = static_cast<int64_t>(RecordingBuilder::kStartNs) - 3600'000'000'000;
  EXPECT_FALSE(Join(std::move(evidence)).evidence->kills[0].is_target);
}

TEST_F(JoinedTest, TmpfsBesideAHealthyHeap) {
  const Report report = Join(Killed({{"anon", 5 * kMiB}, {"file", 58 * kMiB}, {"shmem", 57 * kMiB}, {"kernel", kMiB}}));
  EXPECT_EQ(report.verdict.cause, "shmem");
  EXPECT_THAT(report.verdict.evidence, Not(Contains(HasSubstr("ruled out, shmem"))));
}

// --- Words ---

TEST(SettingsTest, LinesFitATerminalAndFollowTheLimit) {
  for (int setting = 0; setting <= static_cast<int>(Setting::kRecord); ++setting) {
    for (const std::string& line : SettingLines(static_cast<Setting>(setting), 640 * kMiB))
      EXPECT_LE(line.size(), 76u) << line;
  }
  EXPECT_THAT(SettingLines(Setting::kNodeHeap, 1000 * kMiB),
              Contains("docker run -e NODE_OPTIONS=--max-old-space-size=600"));
  EXPECT_THAT(SettingLines(Setting::kLimit, 0), Contains("docker run --memory=Nm --memory-swap=Nm"));
  EXPECT_TRUE(SettingLines(Setting::kNone, kMiB).empty());
}

std::string Meaning(const char* origin, const Number& memory, const Number& swap, const Number& reservation) {
  Limits limits;
  limits.memory_bytes = memory;
  limits.memory_swap_bytes = swap;
  limits.reservation_bytes = reservation;
  std::string all;
  for (const std::string& line : MeaningOf(limits, origin)) all += line + "; ";
  return all;
}

TEST(SettingsTest, SaysWhatLimitsMean) {
  EXPECT_THAT(Meaning("docker run", 64 * kMiB, {}, {}), HasSubstr("up to 64.0 MiB of swap"));
  EXPECT_THAT(Meaning("docker run", 64 * kMiB, 64 * kMiB, {}), HasSubstr("no swap"));
  EXPECT_THAT(Meaning("docker run", 64 * kMiB, kNoLimit, {}), HasSubstr("swap without a bound"));
  EXPECT_THAT(Meaning("compose", 64 * kMiB, 80 * kMiB, {}), HasSubstr("up to 16.0 MiB of swap"));
  EXPECT_THAT(Meaning("compose", {}, {}, 32 * kMiB), HasSubstr("no memory limit"));
  EXPECT_THAT(Meaning("compose", {}, {}, 32 * kMiB), HasSubstr("reservation of 32.0 MiB is no limit"));
  EXPECT_THAT(Meaning("docker", kNoLimit, {}, {}), HasSubstr("no memory limit"));
  EXPECT_THAT(Meaning("kubernetes", 64 * kMiB, {}, 32 * kMiB), HasSubstr("request of 32.0 MiB is no limit"));
  EXPECT_THAT(Meaning("kubernetes", 64 * kMiB, {}, {}), HasSubstr("the limit is also the request"));
  EXPECT_THAT(Meaning("kubernetes", 64 * kMiB, {}, {}), Not(HasSubstr("swap")));
  EXPECT_EQ(Meaning("docker", {}, {}, {}), "");
}

}  // namespace
}  // namespace memtrace::tools
