// Events, samples and cgroup files in text.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/tools/evidence/read_text.h"

namespace memtrace::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const std::string kId = std::string(40, 'd') + std::string(24, '0');

TEST(EventsTest, ReadsDockersText) {
  const Evidence evidence = ReadText("2026-03-03T04:05:06.000000001Z container oom " + kId +
                                     " (image=shop/web, maintainer=a, (b)=c, name=web)\n"
                                     "2026-03-03T04:05:06.1Z container die " +
                                     kId +
                                     " (exitCode=137, image=shop/web, na\n"
                                     "me=web)\n"
                                     "2026-03-03T04:05:07Z network disconnect 11 (name=bridge)\n");
  ASSERT_THAT(evidence.events, SizeIs(2));
  EXPECT_EQ(evidence.events[0].action, "oom");
  EXPECT_EQ(evidence.events[0].id, kId);
  EXPECT_EQ(evidence.events[0].name, "web");
  EXPECT_EQ(evidence.events[0].time.unix_ns.value_or(0) % 1000000000, 1);
  EXPECT_EQ(evidence.events[1].exit_code, 137);
  EXPECT_EQ(evidence.events[1].name, "web");
}

TEST(EventsTest, ReadsOtherForms) {
  const Evidence evidence = ReadText(
      "2015-03-03T04:05:06Z 0123456789ab: (from web:1) oom\n"
      "2026-03-03 04:05:06.5 +0000 UTC k8s.io /tasks/oom {\"container_id\":\"c0ffee\"}\n"
      "2026-03-03 04:05:06.5 +0000 UTC container died 0123456789ab (image=web:1, name=web, containerExitCode=137)\n"
      "{\"status\":\"oom\",\"id\":\"c0ffee\",\"Type\":\"container\",\"Action\":\"oom\",\"Actor\":{\"ID\":\"c0ffee\","
      "\"Attributes\":{\"name\":\"web\"}},\"time\":1772510706,\"timeNano\":1772510706000000002}\n"
      "3m  Warning  Evicted  pod/orders-0  The node was low on resource: memory.\n");
  ASSERT_THAT(evidence.events, SizeIs(5));
  EXPECT_EQ(evidence.events[0].image, "web:1");
  EXPECT_EQ(evidence.events[1].id, "c0ffee");
  EXPECT_EQ(evidence.events[2].exit_code, 137);
  EXPECT_EQ(evidence.events[3].time.unix_ns, 1772510706000000002);
  EXPECT_EQ(evidence.events[3].name, "web");
  EXPECT_EQ(evidence.events[4].action, "Evicted");
  EXPECT_EQ(evidence.events[4].name, "pod/orders-0");
}

TEST(SamplesTest, ReadsDockerStats) {
  const Evidence evidence = ReadText(
      "\x1b[2J\x1b[HCONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O     BLOCK I/O   PIDS\n"
      "0123456789ab   web       1.50%     1.5GiB / 2GiB       75.00%    1kB / 0B    0B / 0B     12\n"
      "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O     BLOCK I/O   PIDS\n"
      "0123456789ab   web       0.00%     0B / 0B             0.00%     0B / 0B     0B / 0B     0\n"
      "ba9876543210   old       --        -- / --             --        --          --          --\n");
  ASSERT_THAT(evidence.samples, SizeIs(3));
  EXPECT_EQ(evidence.samples[0].memory_bytes, uint64_t{3} << 29);
  EXPECT_EQ(evidence.samples[0].limit_bytes, uint64_t{2} << 30);
  EXPECT_EQ(evidence.samples[0].memory_percent, 75.0);
  EXPECT_EQ(evidence.samples[0].pids, 12U);
  EXPECT_EQ(evidence.samples[1].memory_bytes, 0U);
  EXPECT_EQ(evidence.samples[2].memory_bytes, std::nullopt);
}

TEST(SamplesTest, ReadsUnitsAsTheirToolsMeanThem) {
  const auto usage = [](const std::string& cell) {
    const Evidence evidence =
        ReadText("NAME   CPU %   MEM USAGE / LIMIT   MEM %\nweb   1%   " + cell + " / 8GB   1%\n");
    return evidence.samples.empty() ? std::nullopt : evidence.samples[0].memory_bytes;
  };
  EXPECT_EQ(usage("12B"), 12U);
  EXPECT_EQ(usage("12.5kB"), 12500U);
  EXPECT_EQ(usage("12.5KiB"), 12800U);
  EXPECT_EQ(usage("3 MB"), 3000000U);
  EXPECT_EQ(usage("3MiB"), 3145728U);
  EXPECT_EQ(usage("3 parsecs"), std::nullopt);
}

TEST(SamplesTest, ReadsMonitorRows) {
  const Evidence evidence = ReadText(
      "timestamp,memory_bytes,memory_percent,limit_bytes,pids,anon_bytes\n"
      "2026-03-03T04:05:06Z,1048576,50.5,2097152,3,1000\n"
      "2026-03-03T04:05:11Z,2097152,100,2097152,4,\n");
  ASSERT_THAT(evidence.samples, SizeIs(2));
  EXPECT_EQ(evidence.samples[0].memory_bytes, 1048576U);
  EXPECT_EQ(evidence.samples[0].memory_percent, 50.5);
  EXPECT_EQ(evidence.samples[0].limit_bytes, 2097152U);
  EXPECT_THAT(evidence.samples[0].more.all, ElementsAre(Pair("anon_bytes", 1000)));
  EXPECT_EQ(evidence.samples[1].pids, 4U);
}

TEST(SamplesTest, ReadsTheCommonScriptsRows) {
  for (const char* row : {"2026-03-03 04:05:06,300MiB / 600MiB,50.00%", "2026-03-03 04:05:06,300MiB / 600MiB 50.00%",
                          "1772510706,300MiB / 600MiB,50%"}) {
    SCOPED_TRACE(row);
    const Evidence evidence = ReadText(std::string("Timestamp,Memory_Usage,Memory_Percent\n") + row + "\n");
    ASSERT_THAT(evidence.samples, SizeIs(1));
    EXPECT_EQ(evidence.samples[0].memory_bytes, 300U << 20);
    EXPECT_EQ(evidence.samples[0].limit_bytes, 600U << 20);
    EXPECT_EQ(evidence.samples[0].memory_percent, 50.0);
  }
}

void ExpectV2(const Evidence& evidence) {
  ASSERT_THAT(evidence.cgroups, SizeIs(1));
  const CgroupFiles& files = evidence.cgroups[0];
  EXPECT_EQ(files.version, 2);
  EXPECT_EQ(files.max, 67108864U);
  EXPECT_EQ(files.high, kNoLimit);
  EXPECT_EQ(files.current, 66000000U);
  EXPECT_EQ(files.stat.Find("file"), 200U);
  EXPECT_EQ(files.events.Find("oom_kill"), 3U);
  EXPECT_EQ(files.OomKills(), 3U);
}

TEST(CgroupTest, ReadsEveryWayToPrintFiles) {
  ExpectV2(ReadText(
      "memory.current:66000000\nmemory.events:low 0\nmemory.events:max 9\nmemory.events:oom_kill 3\nmemory.high:max\n"
      "memory.max:67108864\nmemory.stat:anon 100\nmemory.stat:file 200\n"));
  ExpectV2(
      ReadText("/sys/fs/cgroup/a/memory.current:66000000\n/sys/fs/cgroup/a/memory.events:oom_kill "
               "3\n/sys/fs/cgroup/a/memory.high:max\n"
               "/sys/fs/cgroup/a/memory.max:67108864\n/sys/fs/cgroup/a/memory.stat:file 200\n"));
  ExpectV2(
      ReadText("==> memory.current <==\n66000000\n\n==> memory.events <==\nlow 0\nmax 9\noom_kill 3\n\n==> memory.high "
               "<==\nmax\n\n"
               "==> io.pressure <==\nsome avg10=9.00 avg60=0.00 avg300=0.00 total=5\n\n==> memory.max <==\n67108864\n\n"
               "==> memory.stat <==\nanon 100\nfile 200\n"));
  ExpectV2(
      ReadText("$ cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.high "
               "/sys/fs/cgroup/memory.max\n66000000\nmax\n67108864\n"
               "$ cat /sys/fs/cgroup/memory.events\nlow 0\nmax 9\noom_kill 3\n$ cat /sys/fs/cgroup/memory.stat\nanon "
               "100\nfile 200\n"));
}

TEST(CgroupTest, ASecondReadingIsAnother) {
  const Evidence evidence = ReadText("memory.max: 1000\nmemory.current: 10\nmemory.max: 1000\nmemory.current: 20\n");
  ASSERT_THAT(evidence.cgroups, SizeIs(2));
  EXPECT_EQ(evidence.cgroups[0].current, 10U);
  EXPECT_EQ(evidence.cgroups[1].current, 20U);
}

TEST(CgroupTest, ReadsBareContents) {
  const Evidence events = ReadText("Killed\nlow 0\nhigh 0\nmax 12\noom 2\noom_kill 2\n");
  ASSERT_THAT(events.cgroups, SizeIs(1));
  EXPECT_EQ(events.cgroups[0].events.Find("max"), 12U);
  const Evidence control =
      ReadText("memcgpath=/sys/fs/cgroup/memory/docker/" + kId + "\noom_kill_disable 0\nunder_oom 1\n");
  ASSERT_THAT(control.cgroups, SizeIs(1));
  EXPECT_EQ(control.cgroups[0].path, "/docker/" + kId);
  EXPECT_EQ(control.cgroups[0].version, 1);
  EXPECT_EQ(control.cgroups[0].under_oom, 1U);
  EXPECT_EQ(control.cgroups[0].OomKills(), std::nullopt);
  const Evidence pressure =
      ReadText("some avg10=1.50 avg60=0.00 avg300=0.00 total=44\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=9\n");
  ASSERT_THAT(pressure.cgroups, SizeIs(1));
  EXPECT_EQ(pressure.cgroups[0].pressure_some->total_us, 44U);
  EXPECT_EQ(pressure.cgroups[0].pressure_full->avg10, 0.5);
}

TEST(CgroupTest, ReadsVersion1) {
  const Evidence evidence = ReadText(
      "memory.limit_in_bytes: 9223372036854771712\nmemory.usage_in_bytes: 5\nmemory.max_usage_in_bytes: "
      "8\nmemory.failcnt: 2\n"
      "memory.stat:cache 1\nmemory.stat:rss 2\n");
  ASSERT_THAT(evidence.cgroups, SizeIs(1));
  EXPECT_EQ(evidence.cgroups[0].version, 1);
  EXPECT_EQ(evidence.cgroups[0].max, kNoLimit);
  EXPECT_EQ(evidence.cgroups[0].peak, 8U);
  EXPECT_EQ(evidence.cgroups[0].failcnt, 2U);
}

TEST(CgroupTest, ReadsADirectory) {
  const std::filesystem::path directory = std::filesystem::path(testing::TempDir()) / "sys/fs/cgroup/memory/box";
  std::filesystem::create_directories(directory);
  const auto write = [&](const char* name, const char* text) { std::ofstream(directory / name) << text; };
  write("memory.limit_in_bytes", "1048576\n");
  write("memory.usage_in_bytes", "1048000\n");
  write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 6\n");
  write("cgroup.procs", "1\n2\n");
  Evidence evidence;
  EXPECT_TRUE(ReadCgroupDirectory(directory.string(), &evidence));
  ASSERT_THAT(evidence.cgroups, SizeIs(1));
  EXPECT_EQ(evidence.cgroups[0].path, "/box");
  EXPECT_EQ(evidence.cgroups[0].max, 1048576U);
  EXPECT_EQ(evidence.cgroups[0].OomKills(), 6U);
  EXPECT_FALSE(ReadCgroupDirectory(testing::TempDir(), &evidence));
}

TEST(CgroupTest, IsNotFooledByProse) {
  EXPECT_THAT(ReadText("set memory.max to 100 and look\nwarning: memory.events grew\nfoo 1\nbar 2\n").cgroups,
              IsEmpty());
}

}  // namespace
}  // namespace memtrace::tools
