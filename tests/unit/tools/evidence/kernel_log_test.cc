#include "tools/evidence/kernel_log.h"

#include <gmock/gmock.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/unit/tools/evidence/read_text.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kId = std::string(30, '7') + std::string(34, 'e');
const std::string kScope = "/kubepods.slice/kubepods-podab_cd.slice/cri-containerd-" + kId + ".scope";

// Linux 6.1, cgroup v2, a group that is killed as a whole.
std::string GroupKill() {
  return "[  731.500001] worker invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO), "
         "order=0, "
         "oom_score_adj=871\n"
         "[  731.500002] CPU: 3 PID: 2201 Comm: worker Not tainted 6.1.0-21-amd64 #1  Debian 6.1.90-1\n"
         "[  731.500003] Call Trace:\n"
         "[  731.500004]  <TASK>\n"
         "[  731.500005] memory: usage 262144kB, limit 262144kB, failcnt 4711\n"
         "[  731.500006] swap: usage 0kB, limit 0kB, failcnt 0\n"
         "[  731.500007] Memory cgroup stats for /kubepods.slice/kubepods-podab_cd.slice:\n"
         "[  731.500008] anon 251658240\n"
         "[  731.500009] file 1048576\n"
         "[  731.500010] Tasks state (memory values in pages):\n"
         "[  731.500011] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n"
         "[  731.500012] [   2201]  1001  2201   120000    60000   585728        0           871 worker\n"
         "[  731.500013] [   2230]  1001  2230      700      100    45056        0           871 helper (x) 2\n"
         "[  731.500014] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=cri-containerd-" +
         kId + ".scope,mems_allowed=0,oom_memcg=/kubepods.slice/kubepods-podab_cd.slice,task_memcg=" + kScope +
         ",task=worker,pid=2201,uid=1001\n"
         "[  731.500015] Memory cgroup out of memory: Killed process 2201 (worker) total-vm:480000kB, "
         "anon-rss:238000kB, "
         "file-rss:2000kB, shmem-rss:0kB, UID:1001 pgtables:572kB oom_score_adj:871\n"
         "[  731.500016] Tasks in " +
         kScope +
         " are going to be killed due to memory.oom.group set\n"
         "[  731.500017] Memory cgroup out of memory: Killed process 2201 (worker) total-vm:480000kB, "
         "anon-rss:238000kB, "
         "file-rss:2000kB, shmem-rss:0kB, UID:1001 pgtables:572kB oom_score_adj:871\n"
         "[  731.500018] Memory cgroup out of memory: Killed process 2230 (helper (x) 2) total-vm:2800kB, "
         "anon-rss:120kB, "
         "file-rss:280kB, shmem-rss:0kB, UID:1001 pgtables:44kB oom_score_adj:871\n"
         "[  731.500019] oom_reaper: reaped process 2230 (helper (x) 2), now anon-rss:0kB, file-rss:0kB, "
         "shmem-rss:0kB\n";
}

// Red Hat 7: another process is killed than the one that was chosen.
constexpr char kOldKill[] =
    "[ 9100.100001] httpd invoked oom-killer: gfp_mask=0x50, order=0, oom_score_adj=0\n"
    "[ 9100.100002] Task in /box/inner killed as a result of limit of /box\n"
    "[ 9100.100003] memory: usage 51200kB, limit 51200kB, failcnt 88\n"
    "[ 9100.100004] memory+swap: usage 61440kB, limit 102400kB, failcnt 0\n"
    "[ 9100.100005] kmem: usage 10kB, limit 9007199254740988kB, failcnt 0\n"
    "[ 9100.100006] Memory cgroup stats for /box/inner: cache:40KB rss:51000KB rss_huge:0KB mapped_file:0KB "
    "swap:10240KB "
    "inactive_anon:20KB active_anon:50980KB inactive_file:0KB active_file:0KB unevictable:0KB\n"
    "[ 9100.100007] [ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name\n"
    "[ 9100.100008] [  610]    48   610    80000    12000     150      100             0 httpd\n"
    "[ 9100.100009] Memory cgroup out of memory: Kill process 610 (httpd) score 801 or sacrifice child\n"
    "[ 9100.100010] Killed process 615 (php-cgi), UID 48, total-vm:90000kB, anon-rss:47000kB, file-rss:12kB, "
    "shmem-rss:4kB\n";

void ExpectGroupKill(const Evidence& evidence) {
  ASSERT_THAT(evidence.kills, SizeIs(2));
  const OomKill& first = evidence.kills[0];
  EXPECT_EQ(first.pid, 2201U);
  EXPECT_EQ(first.comm, "worker");
  EXPECT_EQ(first.scope, OomScope::kMemcg);
  EXPECT_EQ(first.times_logged, 2U);
  EXPECT_EQ(first.total_vm_kb, 480000U);
  EXPECT_EQ(first.anon_rss_kb, 238000U);
  EXPECT_EQ(first.file_rss_kb, 2000U);
  EXPECT_EQ(first.shmem_rss_kb, 0U);
  EXPECT_EQ(first.pgtables_kb, 572U);
  EXPECT_EQ(first.uid, 1001U);
  EXPECT_EQ(first.oom_score_adj, 871);
  EXPECT_EQ(first.usage_kb, 262144U);
  EXPECT_EQ(first.limit_kb, 262144U);
  EXPECT_EQ(first.oom_memcg, "/kubepods.slice/kubepods-podab_cd.slice");
  EXPECT_EQ(first.task_memcg, kScope);
  EXPECT_EQ(first.container_id, kId);
  const OomKill& second = evidence.kills[1];
  EXPECT_EQ(second.pid, 2230U);
  EXPECT_EQ(second.comm, "helper (x) 2");
  EXPECT_EQ(second.oom_memcg, "/kubepods.slice/kubepods-podab_cd.slice");
  EXPECT_EQ(second.limit_kb, 262144U);
  EXPECT_EQ(second.task_memcg, "");
  ASSERT_THAT(evidence.reports, SizeIs(1));
  const OomReport& report = evidence.reports[0];
  EXPECT_EQ(report.invoker, "worker");
  EXPECT_EQ(report.gfp_mask, "0x140dca");
  EXPECT_EQ(report.memory.failcnt, 4711U);
  EXPECT_EQ(report.group, kScope);
  EXPECT_THAT(report.kills, ElementsAre(0, 1));
}

void ExpectOldKill(const Evidence& evidence) {
  ASSERT_THAT(evidence.kills, SizeIs(1));
  const OomKill& kill = evidence.kills[0];
  EXPECT_EQ(kill.pid, 615U);
  EXPECT_EQ(kill.comm, "php-cgi");
  EXPECT_EQ(kill.scope, OomScope::kMemcg);
  EXPECT_EQ(kill.chosen_pid, 610U);
  EXPECT_EQ(kill.score, 801U);
  EXPECT_EQ(kill.uid, 48U);
  EXPECT_EQ(kill.anon_rss_kb, 47000U);
  EXPECT_EQ(kill.pgtables_kb, std::nullopt);
  EXPECT_EQ(kill.limit_kb, 51200U);
  EXPECT_EQ(kill.oom_memcg, "/box");
  EXPECT_EQ(kill.task_memcg, "/box/inner");
  ASSERT_THAT(evidence.reports, SizeIs(1));
  EXPECT_EQ(evidence.reports[0].memsw.limit_kb, 102400U);
  EXPECT_EQ(evidence.reports[0].kmem.usage_kb, 10U);
}

TEST(KernelLogTest, ReadsAGroupThatIsKilledAsAWhole) {
  const Evidence evidence = ReadText(GroupKill());
  ExpectGroupKill(evidence);
  EXPECT_THAT(evidence.reaped_pids, ElementsAre(2230));
  const OomReport& report = evidence.reports.at(0);
  EXPECT_EQ(report.kernel, "6.1.0-21-amd64");
  EXPECT_EQ(report.invoker_pid, 2201U);
  ASSERT_THAT(report.stats, SizeIs(1));
  EXPECT_EQ(report.stats[0].BytesOf("anon"), 251658240U);
  ASSERT_THAT(report.tasks, SizeIs(2));
  EXPECT_EQ(report.tasks[1].name, "helper (x) 2");
  EXPECT_EQ(report.tasks[0].pgtables_bytes, 585728U);
  EXPECT_EQ(evidence.Where(evidence.kills[0].place), "input:15");
  EXPECT_DOUBLE_EQ(evidence.kills[0].time.uptime_s.value_or(0), 731.500015);
}

TEST(KernelLogTest, ReadsTheKillOfAnotherThanTheChosen) {
  const Evidence evidence = ReadText(kOldKill);
  ExpectOldKill(evidence);
  EXPECT_TRUE(evidence.reports.at(0).stats.at(0).in_kb);
  EXPECT_EQ(evidence.reports[0].stats[0].BytesOf("rss"), 51000U * 1024);
  EXPECT_EQ(evidence.reports[0].tasks.at(0).nr_ptes, 150U);
}

using Change = std::function<std::string(std::string)>;
std::string EachLine(const std::string& text, const Change& change) {
  std::string result;
  for (const std::string_view line : Split(text, '\n'))
    if (!line.empty()) result += change(std::string(line)) + '\n';
  return result;
}
std::string Wrapped(const std::string& line, size_t columns, bool at_blanks) {
  std::string rest = line;
  std::string result;
  while (rest.size() > columns) {
    const size_t blank = at_blanks ? rest.rfind(' ', columns) : std::string::npos;
    if (at_blanks && (blank == std::string::npos || blank == 0)) break;
    result += rest.substr(0, at_blanks ? blank : columns) + '\n';
    rest = rest.substr(at_blanks ? blank + 1 : columns);
  }
  return result + rest;
}

struct Form {
  const char* name;
  Change line;
};
const Form kForms[] = {
    {"carriage returns", [](const std::string& line) { return line + '\r'; }},
    {"mail", [](const std::string& line) { return "> " + line; }},
    {"indented", [](const std::string& line) { return "    " + line; }},
    {"grep -n", [](const std::string& line) { return "17:" + line; }},
    {"grep -H", [](const std::string& line) { return "/var/log/kern.log:" + line; }},
    {"colours",
     [](const std::string& line) { return "\x1b[32m" + line.substr(0, 14) + "\x1b[0m" + line.substr(14) + "\x1b[K"; }},
    {"syslog", [](const std::string& line) { return "Mar  3 04:05:06 node-2 kernel: " + line; }},
    {"dmesg -x", [](const std::string& line) { return "kern  :info  : " + line; }},
    {"RFC 3339", [](const std::string& line) { return "2026-03-03T04:05:06.123456+00:00 node-2 kernel: " + line; }},
    {"dmesg -T", [](const std::string& line) { return "[Tue Mar  3 04:05:06 2026]" + line.substr(14); }},
    {"a caller", [](const std::string& line) { return line.substr(0, 14) + "[ T2201]" + line.substr(14); }},
    {"/dev/kmsg", [](const std::string& line) { return "6,1200,731500000,-;" + line.substr(15); }},
    {"no stamps", [](const std::string& line) { return line.substr(15); }},
    {"journalctl -o json",
     [](const std::string& line) {
       return R"({"__REALTIME_TIMESTAMP":"1772510706000000","MESSAGE":")" + line.substr(15) + "\"}";
     }},
    {"other lines between",
     [](const std::string& line) {
       return line + "\nMar  3 04:05:06 node-2 sshd[71]: session opened for user root 5";
     }},
    {"80 columns", [](const std::string& line) { return Wrapped(line, 80, false); }},
    {"100 columns", [](const std::string& line) { return Wrapped(line, 100, false); }},
    {"wrapped at blanks", [](const std::string& line) { return Wrapped(line, 76, true); }},
};

TEST(KernelLogTest, ReadsEveryFormOfALog) {
  for (const Form& form : kForms) {
    SCOPED_TRACE(form.name);
    ExpectGroupKill(ReadText(EachLine(GroupKill(), form.line)));
    ExpectOldKill(ReadText(EachLine(kOldKill, form.line)));
  }
}

TEST(KernelLogTest, CountsAKillThatIsLoggedAgainOnce) {
  EXPECT_THAT(ReadText(std::string(kOldKill) + kOldKill).kills, SizeIs(1));
  EXPECT_THAT(ReadText(std::string(kOldKill) + kOldKill).reports, SizeIs(1));
}

TEST(KernelLogTest, TellsProcessesWithTheSameNumberApart) {
  const Evidence evidence = ReadText(
      "[  100.000001] Out of memory: Killed process 400 (job) total-vm:5000kB, anon-rss:1000kB, file-rss:0kB, "
      "shmem-rss:0kB\n"
      "[ 9100.000001] Out of memory: Killed process 400 (job) total-vm:7000kB, anon-rss:1500kB, file-rss:0kB, "
      "shmem-rss:0kB\n");
  EXPECT_THAT(evidence.kills, SizeIs(2));
}

TEST(KernelLogTest, DoesNotShareAReportWithALaterKill) {
  const Evidence evidence = ReadText(
      std::string(kOldKill) +
      "[ 9100.200000] Memory cgroup out of memory: Kill process 700 (ruby) score 900 or sacrifice child\n"
      "[ 9100.200001] Killed process 700 (ruby) total-vm:1000kB, anon-rss:900kB, file-rss:0kB, shmem-rss:0kB\n");
  ASSERT_THAT(evidence.kills, SizeIs(2));
  EXPECT_EQ(evidence.kills[1].limit_kb, std::nullopt);
  EXPECT_EQ(evidence.kills[1].oom_memcg, "");
}

TEST(KernelLogTest, KeepsReportsOfTwoCallersApart) {
  const Evidence evidence = ReadText(
      "[   50.000001][  T111] memory: usage 1000kB, limit 1000kB, failcnt 1\n"
      "[   50.000002][  T222] memory: usage 2000kB, limit 2000kB, failcnt 2\n"
      "[   50.000003][  T111] Memory cgroup out of memory: Killed process 111 (a) total-vm:10kB, anon-rss:1kB, "
      "file-rss:0kB, "
      "shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n"
      "[   50.000004][  T222] Memory cgroup out of memory: Killed process 222 (b) total-vm:20kB, anon-rss:2kB, "
      "file-rss:0kB, "
      "shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\n");
  ASSERT_THAT(evidence.kills, SizeIs(2));
  EXPECT_EQ(evidence.kills[0].limit_kb, 1000U);
  EXPECT_EQ(evidence.kills[1].limit_kb, 2000U);
}

struct Line {
  const char* text;
  uint32_t pid;
  const char* comm;
  OomScope scope;
};
constexpr Line kLines[] = {
    {"Out of memory: Killed process 31 (java) total-vm:9kB, anon-rss:8kB, file-rss:0kB", 31, "java", OomScope::kGlobal},
    {"kernel: Out of memory: kill process 31 (java) score 4711 or a child", 31, "java", OomScope::kGlobal},
    {"[12.5] Out of Memory: Killed process 31 (java).", 31, "java", OomScope::kGlobal},
    {"[12.5] Out of memory: Killed process 31, UID 500, (java).", 31, "java", OomScope::kGlobal},
    {"[12.5] Killed process 31 (java) vsz:100kB, anon-rss:8kB, file-rss:0kB", 31, "java", OomScope::kUnknown},
    {"[12.5] Killed process 31 (java)", 31, "java", OomScope::kUnknown},
    {"Out of memory (oom_kill_allocating_task): Killed process 31 (a) b) total-vm:9kB, anon-rss:8kB, file-rss:0kB", 31,
     "a) b", OomScope::kGlobal},
    {"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0-1,global_oom,task_memcg=/"
     "a,task=x,pid=y,"
     "pid=31,uid=0",
     31, "x,pid=y", OomScope::kGlobal},
    {"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/"
     "b,task=j,pid=31,"
     "uid=7",
     31, "j", OomScope::kMemcg},
    {"{\"level\":\"info\",\"msg\":\"Memory cgroup out of memory: Killed process 31 (j) total-vm:9kB, anon-rss:8kB, "
     "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0\"}",
     31, "j", OomScope::kMemcg},
    {"Memory cgroup out of memory: Killed process 31 (cut", 31, "cut", OomScope::kMemcg},
    {"Memory cgroup out of memory: Killed process 31 (j) total-vm:9kB, anon-rss:8>", 31, "j", OomScope::kMemcg},
};

TEST(KernelLogTest, KnowsTheLinesOfAllKernels) {
  for (const Line& line : kLines) {
    SCOPED_TRACE(line.text);
    const Evidence evidence = ReadText(line.text);
    ASSERT_THAT(evidence.kills, SizeIs(1));
    EXPECT_EQ(evidence.kills[0].pid, line.pid);
    EXPECT_EQ(evidence.kills[0].comm, line.comm);
    EXPECT_EQ(evidence.kills[0].scope, line.scope);
  }
}

TEST(KernelLogTest, DoesNotGuessNumbersThatWereCut) {
  const Evidence evidence =
      ReadText("Memory cgroup out of memory: Killed process 31 (j) total-vm:900kB, anon-rss:80\nnext line");
  ASSERT_THAT(evidence.kills, SizeIs(1));
  EXPECT_EQ(evidence.kills[0].total_vm_kb, 900U);
  EXPECT_EQ(evidence.kills[0].anon_rss_kb, std::nullopt);
  EXPECT_THAT(ReadText("Memory cgroup out of memory: Killed process 31").kills, IsEmpty());
}

TEST(KernelLogTest, CorrectsPageTablesInBytes) {
  const Evidence evidence = ReadText(
      "[1.5] [    31]     0    31      900      800    61440        0             0 j\n"
      "[1.5] Out of memory: Killed process 31 (j) total-vm:9kB, anon-rss:8kB, file-rss:0kB, shmem-rss:0kB, UID:0 "
      "pgtables:61440kB oom_score_adj:0\n");
  EXPECT_EQ(evidence.kills.at(0).pgtables_kb, 60U);
}

TEST(KernelLogTest, TakesTheHostsMemoryFromAGlobalReport) {
  const Evidence evidence = ReadText(
      "[1.5] j invoked oom-killer: gfp_mask=0x1, order=0, oom_score_adj=0\n"
      "[1.5] Mem-Info:\n"
      "[1.5] active_anon:100 inactive_anon:200 isolated_anon:0\n"
      "[1.5]  free:30 free_pcp:1 free_cma:0\n"
      "[1.5] Node 0 active_anon:400kB inactive_anon:800kB\n"
      "[1.5] 77 total pagecache pages\n"
      "[1.5] Free swap  = 4kB\n"
      "[1.5] Total swap = 1024kB\n"
      "[1.5] 5000 pages RAM\n");
  const NamedNumbers& host = evidence.reports.at(0).host;
  EXPECT_EQ(host.Find("active_anon"), 100U);
  EXPECT_EQ(host.Find("free"), 30U);
  EXPECT_EQ(host.Find("total_pagecache_pages"), 77U);
  EXPECT_EQ(host.Find("free_swap_kb"), 4U);
  EXPECT_EQ(host.Find("ram_pages"), 5000U);
  EXPECT_THAT(evidence.kills, IsEmpty());
}

TEST(KernelLogTest, FindsNoKillWhereNoneWas) {
  for (const char* text : {
           "[9.5] oom_reaper: reaped process 31 (java), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
           "app[7]: ERROR Out of memory: cannot allocate 4096 bytes",
           "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space",
           "[9.5] java: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO)",
           "Mar  3 04:05:06 h systemd-oomd[600]: Killed /user.slice/a.scope due to memory pressure for /user.slice "
           "being 91%",
           "Mar  3 04:05:06 h supervisor[7]: Killed process 31 (worker)",
           "Mar  3 04:05:06 h systemd[1]: a.service: Killing process 31 (java) with signal SIGKILL.",
           "Mar  3 04:05:06 h app[7]: look for \"Killed process\" and \"Out of memory\" in the log",
           "[9.5] Kill process 31 (java) sharing same memory",
           "[9.5] memory: usage 10kB, limit 20kB, failcnt 3",
           "level=info msg=\"container oom\" error=\"fatal: Out of memory, malloc failed (tried to allocate 31 "
           "bytes)\"",
           "[9.5] cgroup: fork rejected by pids controller in /docker/a",
       }) {
    EXPECT_THAT(ReadText(text).kills, IsEmpty()) << text;
  }
}

TEST(KernelLogTest, NoticesOtherKillers) {
  const Evidence evidence = ReadText(
      "Mar  3 04:05:06 h systemd[1]: web.service: A process of this unit has been killed by the OOM killer.\n"
      "Mar  3 04:05:07 h systemd-oomd[600]: Killed /user.slice/a.scope due to memory pressure for /user.slice being "
      "91%\n"
      "Mar  3 04:05:08 h kernel: cgroup: fork rejected by pids controller in /docker/a\n");
  ASSERT_THAT(evidence.notices, SizeIs(3));
  EXPECT_EQ(evidence.notices[0].kind, NoticeKind::kUnitOom);
  EXPECT_EQ(evidence.notices[0].subject, "web.service");
  EXPECT_EQ(evidence.notices[1].kind, NoticeKind::kUserSpaceKiller);
  EXPECT_EQ(evidence.notices[1].subject, "/user.slice/a.scope");
  EXPECT_EQ(evidence.notices[2].kind, NoticeKind::kForkRejected);
  EXPECT_EQ(evidence.notices[2].subject, "/docker/a");
}

}  // namespace
}  // namespace memtrace::tools
