#include "tools/evidence/read.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/tools/evidence/read_text.h"
#include "tools/evidence/anchors.h"
#include "tools/evidence/line_reader.h"
#include "tools/evidence/stamp.h"
#include "tools/evidence/text.h"

namespace memtrace::tools {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kKill[] =
    "[ 77.000001] Out of memory: Killed process 4100 (grower) total-vm:90kB, anon-rss:80kB, file-rss:0kB, "
    "shmem-rss:0kB\n";

std::string Noise(size_t bytes) {
  std::string text;
  for (int i = 0; text.size() < bytes; ++i)
    text += "[ 12.000001] usb 1-" + std::to_string(i) + ": new high-speed device\n";
  return text;
}

TEST(ReadTest, SaysWhatAFileIs) {
  const auto kind = [](std::string_view text) {
    Evidence evidence;
    ReadEvidenceText(text, "x", &evidence);
    return evidence.files.at(0).what;
  };
  EXPECT_EQ(kind(kKill), "kernel log");
  EXPECT_EQ(kind(Noise(1000)), "log");
  EXPECT_EQ(kind("OOMKilled=true ExitCode=137"), "container state");
  EXPECT_EQ(kind(std::string(kKill) + "memory.max: 5\n"), "kernel log, cgroup files");
  EXPECT_EQ(kind("root:x:0:0:root:/root:/bin/sh\n"), "");
  EXPECT_EQ(kind(std::string(1000, '\0')), "");
  EXPECT_EQ(kind(""), "");
  EXPECT_EQ(kind("{\"a\": 1}"), "");
}

TEST(ReadTest, FindsAKillAnywhereInALongLog) {
  for (const size_t before : {0UL, 1000UL, 262000UL, 1048500UL, 3000000UL}) {
    const std::string noise = Noise(before);
    const Evidence evidence = ReadText(noise + kKill + Noise(300000));
    ASSERT_THAT(evidence.kills, SizeIs(1)) << before;
    EXPECT_EQ(evidence.kills[0].place.line, std::count(noise.begin(), noise.end(), '\n') + 1) << before;
  }
}

TEST(ReadTest, LooksBackFromTheWordThatGivesItAway) {
  const Evidence evidence = ReadText(Noise(900000) + "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\n" + Noise(900000));
  ASSERT_THAT(evidence.cgroups, SizeIs(1));
  EXPECT_EQ(evidence.cgroups[0].events.Find("max"), 7U);
}

TEST(ReadTest, BoundsLongLines) {
  const Evidence evidence = ReadText(std::string(5000000, 'x') + "\n" + kKill + std::string(3000000, 'y'));
  ASSERT_THAT(evidence.kills, SizeIs(1));
  EXPECT_EQ(evidence.kills[0].place.line, 2U);
  EXPECT_THAT(evidence.files[0].losses, ElementsAre(HasSubstr("1 lines of more than 256 KiB")));
}

TEST(ReadTest, TheSameKillInTwoFilesIsOne) {
  Evidence evidence;
  ReadEvidenceText(kKill, "dmesg", &evidence);
  ReadEvidenceText("Mar  3 04:05:06 h kernel: " + std::string(kKill), "messages", &evidence);
  ASSERT_THAT(evidence.kills, SizeIs(1));
  EXPECT_EQ(evidence.Where(evidence.kills[0].place), "dmesg:1");
  EXPECT_EQ(evidence.kills[0].time.text, "Mar  3 04:05:06");
}

TEST(ReadTest, ReadsJournalsOfAllForms) {
  const std::string message = std::string(kKill).substr(13, sizeof(kKill) - 15);
  for (const std::string& text :
       {R"({"__REALTIME_TIMESTAMP":"1772510706000000","MESSAGE":")" + message + "\"}\n{\"MESSAGE\":\"x\"}\n",
        "{\n\t\"__REALTIME_TIMESTAMP\" : \"1772510706000000\",\n\t\"MESSAGE\" : \"" + message +
            "\"\n}\n{\n\t\"MESSAGE\" : \"x\"\n}\n",
        R"(data: {"__REALTIME_TIMESTAMP":"1772510706000000","MESSAGE":")" + message + "\"}\n\n",
        R"({"log":")" + message + R"(\n","time":"2026-03-03T04:05:06Z"})" + "\n{\"log\":\"x\"}\n"}) {
    SCOPED_TRACE(text);
    const Evidence evidence = ReadText(text);
    ASSERT_THAT(evidence.kills, SizeIs(1));
    EXPECT_EQ(evidence.kills[0].time.unix_ns, 1772510706000000000);
  }
}

TEST(ReadTest, ReportsWhatItCannotRead) {
  Evidence evidence;
  EXPECT_FALSE(ReadEvidence("/nonexistent/file", &evidence).ok());
  const std::string path = testing::TempDir() + "packed." + std::to_string(getpid());
  for (const char* begin : {"\x1f\x8b\x08", "BZh", "\x28\xb5\x2f\xfd"}) {
    std::ofstream(path) << begin << " and so on";
    const Result<bool> packed = ReadEvidence(path, &evidence);
    ASSERT_FALSE(packed.ok());
    EXPECT_THAT(packed.error().Text(), HasSubstr("compressed"));
  }
  std::filesystem::remove(path);
}

TEST(AnchorSetTest, FindsTheFirstWord) {
  const AnchorSet anchors({"needle in", "haystack"});
  EXPECT_EQ(anchors.Find("a haystack and a needle in it"), 2U);
  EXPECT_EQ(anchors.Find("the needle in"), 4U);
  EXPECT_EQ(anchors.Find("needle_in haystac"), std::string_view::npos);
  EXPECT_EQ(anchors.Find("haystack"), 0U);
  EXPECT_EQ(anchors.Find("short"), std::string_view::npos);
}

struct StampCase {
  const char* prefix;
  std::optional<double> uptime_s;
  std::optional<int64_t> unix_s;
};
constexpr StampCase kStamps[] = {
    {"[   12.500000] ", 12.5, std::nullopt},
    {"6,99,12500000,-;", 12.5, std::nullopt},
    {"2026-03-03T04:05:06+01:00 h kernel: ", std::nullopt, 1772507106},
    {"2026-03-03T04:05:06.25Z h kernel: [   12.500000] ", 12.5, 1772510706},
    {"Tue 2026-03-03 04:05:06 UTC h kernel: ", std::nullopt, 1772510706},
    {"1772510706.000000 h kernel: ", std::nullopt, 1772510706},
    {"Mar  3 04:05:06 h kernel: ", std::nullopt, std::nullopt},
    {"[Tue Mar  3 04:05:06 2026] ", std::nullopt, std::nullopt},
    {"10.0.0.1: kern:  info: [2026-03-03T04:05:06.5Z]: ", std::nullopt, 1772510706},
    {"nothing ", std::nullopt, std::nullopt},
};

TEST(StampTest, KeepsWhatIsKnown) {
  for (const StampCase& expected : kStamps) {
    SCOPED_TRACE(expected.prefix);
    const Stamp stamp = ParseStamp(expected.prefix);
    EXPECT_EQ(stamp.moment.uptime_s, expected.uptime_s);
    EXPECT_EQ(stamp.moment.unix_ns ? std::optional(*stamp.moment.unix_ns / 1000000000) : std::nullopt, expected.unix_s);
  }
  EXPECT_EQ(ParseStamp("Mar  3 04:05:06 h kernel: ").origin, "h");
  EXPECT_EQ(ParseStamp("[   12.500000][  T77] ").origin, "/T77");
  EXPECT_EQ(ParseStamp("[Tue Mar  3 04:05:06 2026] ").moment.text, "Tue Mar  3 04:05:06 2026");
}

TEST(StampTest, ZeroTimesAreNone) {
  EXPECT_FALSE(MomentOf("0001-01-01T00:00:00Z").known());
  EXPECT_FALSE(MomentOf("null").known());
  EXPECT_EQ(ParseTime("Tue, 03 Mar 2026 05:05:06 +0100"), 1772510706000000000);
  EXPECT_EQ(ParseTime("2026-02-30T00:00:00Z"), std::nullopt);
  EXPECT_EQ(ParseTime("2026-03-03 04:05:06"), std::nullopt);
}

TEST(TextTest, ReadsSizes) {
  EXPECT_EQ(ParseSize("512m", UnitStyle::kRam), 512U << 20);
  EXPECT_EQ(ParseSize("1.5kb", UnitStyle::kRam), 1536U);
  EXPECT_EQ(ParseSize("128Mi", UnitStyle::kKubernetes), 128U << 20);
  EXPECT_EQ(ParseSize("128M", UnitStyle::kKubernetes), 128000000U);
  EXPECT_EQ(ParseSize("128974848000m", UnitStyle::kKubernetes), 128974848U);
  EXPECT_EQ(ParseSize("18446744073709551615", UnitStyle::kRam), UINT64_MAX);
  EXPECT_EQ(ParseSize("99999999999999999999", UnitStyle::kDisplay), UINT64_MAX);
  EXPECT_EQ(ParseSize("-1", UnitStyle::kRam), std::nullopt);
  EXPECT_EQ(ParseSize("12 apples", UnitStyle::kRam), std::nullopt);
  EXPECT_EQ(ParseSize("", UnitStyle::kRam), std::nullopt);
}

TEST(TextTest, CleansLines) {
  std::string buffer;
  EXPECT_EQ(CleanLine("plain\r", &buffer), "plain");
  EXPECT_EQ(CleanLine("\x1b[1;31mred\x1b[0m \x1b]0;title\aend", &buffer), "red end");
  EXPECT_EQ(CleanLine("a=3Db", &buffer), "a=b");
  EXPECT_EQ(CleanLine("cut \x1b[", &buffer), "cut ");
}

}  // namespace
}  // namespace memtrace::tools
