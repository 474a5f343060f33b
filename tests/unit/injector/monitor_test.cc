#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "injector/monitor/outputs.h"
#include "tests/unit/rt/recorded_tree.h"

namespace memtrace::injector {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr uint64_t kStartNs = 1'763'817'300'250'000'000;  // 2025-11-22T13:15:00.250Z

MonitorSample SampleAt(uint64_t seconds, uint64_t usage) {
  MonitorSample sample;
  sample.time_ns = kStartNs + seconds * 1'000'000'000;
  sample.values[kUsage] = usage;
  sample.values[kLimit] = 1000;
  sample.percent = static_cast<double>(usage) / 10;
  return sample;
}

MonitorTarget TargetAt(int version, const std::string& directory) {
  MonitorTarget target;
  target.name = "shop";
  target.cgroup.version = version;
  for (auto* field : {&target.cgroup.directory, &target.cgroup.limit_directory, &target.cgroup.path})
    std::copy_n(directory.c_str(), directory.size() + 1, *field);
  return target;
}

TEST(MonitorSampleTest, Version2) {
  RecordedTree tree;
  tree.Write("/cg/memory.current", "900\n")
      .Write("/cg/memory.max", "1000\n")
      .Write("/cg/memory.events", "low 0\noom 2\noom_kill 1\noom_group_kill 0\n")
      .Write("/cg/memory.pressure", "some avg10=1.00\nfull avg10=0.25 avg60=0.10\n")
      .Write("/cg/memory.stat", "anon 300\nfile 400\nkernel 90\nsock 10\nshmem 100\ninactive_file 150\n");
  const MonitorSample sample = ReadSample(TargetAt(2, tree.In("/cg")));
  EXPECT_EQ(sample.values[kUsage], 900u);
  EXPECT_EQ(sample.values[kWorkingSet], 750u);
  EXPECT_EQ(sample.values[kFile], 300u);
  EXPECT_EQ(sample.values[kSock], 10u);
  EXPECT_EQ(sample.values[kOomKills], 1u);
  EXPECT_FALSE(sample.Knows(kPeak));
  EXPECT_DOUBLE_EQ(sample.percent, 90);
  EXPECT_DOUBLE_EQ(sample.pressure_full_avg10, 0.25);
}

TEST(MonitorSampleTest, ATargetThatIsGoneIsUnknown) {
  const MonitorSample sample = ReadSample(TargetAt(2, "/nonexistent"));
  for (size_t field = 0; field < kFieldCount; ++field) EXPECT_FALSE(sample.Knows(static_cast<Field>(field)));
  EXPECT_LT(sample.percent, 0);
}

TEST(MonitorOutputsTest, CsvHasOneFieldPerColumnAndEmptyForUnknown) {
  MonitorSample sample = SampleAt(0, 500);
  sample.event = "end: exited, or \"not\"";
  const std::string header = CsvHeader();
  const std::string row = CsvRow(sample);
  EXPECT_THAT(header, StartsWith("timestamp,memory_bytes,memory_percent,"));
  EXPECT_THAT(row, StartsWith("2025-11-22T13:15:00.250Z,500,50.00,,1000,"));
  EXPECT_THAT(row, EndsWith(",\"end: exited, or \"\"not\"\"\"\n"));
  // The event has the only comma that separates nothing.
  EXPECT_EQ(std::count(header.begin(), header.end(), ',') + 1, std::count(row.begin(), row.end(), ','));
}

TEST(MonitorOutputsTest, MetricsEscapeLabelsAndLeaveOutWhatIsUnknown) {
  MonitorTarget target = TargetAt(2, "/cg");
  target.name = "a\"b\\c\n";
  const std::string text = MetricsText(target, SampleAt(0, 500), true);
  EXPECT_THAT(text, HasSubstr("container_memory_usage_bytes{id=\"/cg\",name=\"a\\\"b\\\\c\\\\x0a\"} 500\n"));
  EXPECT_THAT(text, Not(HasSubstr("container_memory_rss")));
  EXPECT_THAT(text, HasSubstr("memtrace_target_up{"));
  EXPECT_THAT(text, EndsWith("# EOF\n"));
}

TEST(MonitorOutputsTest, APlotOfAWeekStaysSmallAndKeepsPeaksAndEvents) {
  PlotRows rows;
  for (uint64_t i = 0; i < 100000; ++i) {
    MonitorSample sample = SampleAt(i, i == 54321 ? 990 : 100);
    if (i == 77777) sample.event = "oom_kill";
    rows.Add(sample);
  }
  EXPECT_LE(rows.rows().size(), 2000u);
  const auto peak = [](const MonitorSample& row) { return row.values[kUsage] == 990; };
  const auto kill = [](const MonitorSample& row) { return row.event == "oom_kill"; };
  EXPECT_EQ(std::count_if(rows.rows().begin(), rows.rows().end(), peak), 1);
  EXPECT_EQ(std::count_if(rows.rows().begin(), rows.rows().end(), kill), 1);
  const std::string svg = PlotSvg("<shop & co>", rows.rows());
  EXPECT_THAT(svg, HasSubstr("Memory of &lt;shop &amp; co>"));
  EXPECT_THAT(svg, HasSubstr(">OOM kill<"));
  EXPECT_THAT(svg, EndsWith("</svg>\n"));
}

TEST(MonitorOutputsTest, APlotWithoutRowsIsStillOne) { EXPECT_THAT(PlotSvg("x", {}), EndsWith("</svg>\n")); }

TEST(MonitorOutputsTest, FilesAreReplacedWholeOrNotAtAll) {
  RecordedTree tree;
  const std::string path = tree.In("/metrics.prom");
  EXPECT_TRUE(ReplaceFile(path, "one\n"));
  EXPECT_TRUE(ReplaceFile(path, "two\n"));
  std::string content;
  std::getline(std::ifstream(path), content);
  EXPECT_EQ(content, "two");
  EXPECT_FALSE(ReplaceFile(tree.In("/nowhere/metrics.prom"), "x"));
  const std::filesystem::directory_iterator files(tree.root());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

// Where what was written counts against a limit, the error is not that of a full disk.
TEST(MonitorOutputsTest, WhyAFileCannotBeReplacedIsTheSystemsWord) {
  RecordedTree tree;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const bool replaced = ReplaceFile(tree.In("/metrics.prom"), "longer\n");
  const int error = errno;
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_FALSE(replaced);
  EXPECT_EQ(error, EFBIG);
  EXPECT_TRUE(std::filesystem::is_empty(tree.root()));
}

TEST(MonitorTargetTest, ContainerIdIsTheLastOf64Digits) {
  const std::string id(64, 'b');
  EXPECT_EQ(ContainerIdIn("0::/docker/" + std::string(64, 'a') + "/system.slice/cri-containerd-" + id + ".scope"), id);
  EXPECT_EQ(ContainerIdIn("/user.slice/abc"), "");
  EXPECT_EQ(ContainerIdIn(std::string(65, 'a')), "");
}

TEST(MonitorTargetTest, WhatIsNotThereIsSaid) {
  EXPECT_THAT(FindTarget("999999999").message, HasSubstr("there is no process 999999999"));
  EXPECT_THAT(FindTarget("/no/such").message, HasSubstr("no memory cgroup"));
  EXPECT_THAT(FindTarget("").message, ::testing::AnyOf("", HasSubstr("memory cgroup")));
}

}  // namespace
}  // namespace memtrace::injector
