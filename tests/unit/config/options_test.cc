#include "libmemtrace/config/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace memtrace::config {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> g_complaints;
void Complain(rt::Text line) { g_complaints.emplace_back(line.data, line.size); }

// Starts from garbage, so that a field that ReadOptions leaves alone is seen.
std::unique_ptr<Options> Read(std::vector<const char*> environment) {
  environment.push_back(nullptr);
  g_complaints.clear();
  auto options = std::make_unique<Options>();
  memset(options.get(), 0x5a, sizeof(Options));
  ReadOptions(environment.data(), options.get(), Complain);
  return options;
}

std::vector<int> Percents(const Options& options) {
  return {options.snapshot_percents, options.snapshot_percents + options.snapshot_percent_count};
}

TEST(ReadOptions, DefaultsAreTheDocumentedOnes) {
  for (const auto& options : {Read({}), Read({"PATH=/bin", "MEMTRACE_MAX=", "MEMTRACE_SAMPLE=", "MEMTRACE=1"})}) {
    EXPECT_STREQ(options->directory, "/tmp/memtrace");
    EXPECT_EQ(options->sample, Sample::kAuto);
    EXPECT_EQ(options->sample_bytes, 0u);
    EXPECT_EQ(options->budget_ppm, 10000u);
    EXPECT_EQ(options->signal, 12);
    EXPECT_THAT(Percents(*options), ElementsAre(80, 90, 95));
    EXPECT_FALSE(options->keep_always);
    EXPECT_EQ(options->keep_files, 16u);
    EXPECT_EQ(options->max_bytes, 8 * kMiB);
    EXPECT_TRUE(options->follow_fork);
    EXPECT_TRUE(options->follow_exec);
    EXPECT_STREQ(options->only, "");
    EXPECT_STREQ(options->skip, "");
    EXPECT_EQ(options->depth, 128u);
    EXPECT_TRUE(options->store_command);
    EXPECT_STREQ(options->termination_log, "");
    EXPECT_FALSE(options->quiet);
    EXPECT_EQ(options->seed, 0u);
    EXPECT_EQ(options->unwinder, Unwinder::kOwn);
    EXPECT_EQ(options->run_pid, 0u);
    EXPECT_THAT(g_complaints, IsEmpty());
  }
}

TEST(ReadOptions, NoEnvironmentAtAll) {
  Options options;
  ReadOptions(nullptr, &options, nullptr);
  EXPECT_EQ(options.depth, 128u);
}

TEST(ReadOptions, ReadsEveryVariable) {
  const auto options =
      Read({"MEMTRACE_DIR=/var/x//", "MEMTRACE_SAMPLE=64KiB", "MEMTRACE_BUDGET=0.5%", "MEMTRACE_SIGNAL=SIGUSR1",
            "MEMTRACE_SNAPSHOT_AT=95, 50,80,50", "MEMTRACE_KEEP=always", "MEMTRACE_KEEP_FILES=3", "MEMTRACE_MAX=16m",
            "MEMTRACE_FOLLOW=exec", "MEMTRACE_ONLY=a*,b", "MEMTRACE_SKIP=ab", "MEMTRACE_DEPTH=1024",
            "MEMTRACE_COMMAND=0", "MEMTRACE_TERMINATION_LOG=/dev/termination-log", "MEMTRACE_SEED=0xff",
            "MEMTRACE_UNWINDER=libunwind", "MEMTRACE_RUN=77"});
  EXPECT_THAT(g_complaints, IsEmpty());
  EXPECT_STREQ(options->directory, "/var/x");
  EXPECT_EQ(options->sample, Sample::kFixed);
  EXPECT_EQ(options->sample_bytes, 65536u);
  EXPECT_EQ(options->budget_ppm, 5000u);
  EXPECT_EQ(options->signal, 10);
  EXPECT_THAT(Percents(*options), ElementsAre(50, 80, 95));
  EXPECT_TRUE(options->keep_always);
  EXPECT_EQ(options->keep_files, 3u);
  EXPECT_EQ(options->max_bytes, 16 * kMiB);
  EXPECT_FALSE(options->follow_fork);
  EXPECT_TRUE(options->follow_exec);
  EXPECT_STREQ(options->only, "a*,b");
  EXPECT_STREQ(options->skip, "ab");
  EXPECT_EQ(options->depth, 1024u);
  EXPECT_FALSE(options->store_command);
  EXPECT_STREQ(options->termination_log, "/dev/termination-log");
  EXPECT_EQ(options->seed, 255u);
  EXPECT_EQ(options->unwinder, Unwinder::kLibunwind);
  EXPECT_EQ(options->run_pid, 77u);
}

TEST(ReadOptions, OfDuplicatesTheFirstCounts) { EXPECT_EQ(Read({"MEMTRACE_DEPTH=5", "MEMTRACE_DEPTH=6"})->depth, 5u); }

TEST(ReadOptions, ExactModeRaisesTheDefaultSizeOnly) {
  EXPECT_EQ(Read({"MEMTRACE_SAMPLE=1"})->sample, Sample::kExact);
  EXPECT_EQ(Read({"MEMTRACE_SAMPLE=1"})->max_bytes, kGiB);
  EXPECT_EQ(Read({"MEMTRACE_SAMPLE=1", "MEMTRACE_MAX=2MiB"})->max_bytes, 2 * kMiB);
  EXPECT_EQ(Read({"MEMTRACE_SAMPLE=1", "MEMTRACE_MAX=2"})->max_bytes, kGiB);
}

TEST(ReadOptions, RelativePathsBecomeAbsolute) {
  char directory[4096];
  ASSERT_NE(getcwd(directory, sizeof(directory)), nullptr);
  EXPECT_EQ(Read({"MEMTRACE_DIR=./out"})->directory, std::string(directory) + "/out");
  EXPECT_STREQ(Read({"MEMTRACE_DIR=/"})->directory, "/");
}

struct BadValue {
  const char* entry;
  const char* accepted;
  const char* fallback;
};
class BadValues : public ::testing::TestWithParam<BadValue> {};

TEST_P(BadValues, AreNamedOnceAndTheDefaultHolds) {
  const auto options = Read({GetParam().entry});
  ASSERT_EQ(g_complaints.size(), 1u);
  EXPECT_THAT(g_complaints[0], AllOf(HasSubstr(GetParam().entry), HasSubstr(GetParam().accepted),
                                     HasSubstr(std::string("using ") + GetParam().fallback), Not(HasSubstr("\n"))));
  const auto defaults = Read({});
  EXPECT_EQ(memcmp(options->directory, defaults->directory, sizeof("/tmp/memtrace")), 0);
  EXPECT_EQ(options->sample, defaults->sample);
  EXPECT_EQ(options->budget_ppm, defaults->budget_ppm);
  EXPECT_EQ(options->signal, defaults->signal);
  EXPECT_EQ(Percents(*options), Percents(*defaults));
  EXPECT_EQ(options->keep_always, defaults->keep_always);
  EXPECT_EQ(options->keep_files, defaults->keep_files);
  EXPECT_EQ(options->max_bytes, defaults->max_bytes);
  EXPECT_EQ(options->follow_fork, defaults->follow_fork);
  EXPECT_EQ(options->depth, defaults->depth);
  EXPECT_EQ(options->store_command, defaults->store_command);
  EXPECT_EQ(options->seed, defaults->seed);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadValues,
    ::testing::Values(
        BadValue{"MEMTRACE_SAMPLE=0", "a size", "auto"}, BadValue{"MEMTRACE_SAMPLE=often", "1", "auto"},
        BadValue{"MEMTRACE_SAMPLE=-1", "a size", "auto"}, BadValue{"MEMTRACE_SAMPLE=2TiB", "1TiB", "auto"},
        BadValue{"MEMTRACE_SAMPLE=99999999999999999999", "a size", "auto"},
        BadValue{"MEMTRACE_BUDGET=0%", "percentage", "1%"}, BadValue{"MEMTRACE_BUDGET=101%", "percentage", "1%"},
        BadValue{"MEMTRACE_BUDGET=1.%", "percentage", "1%"}, BadValue{"MEMTRACE_BUDGET=1.x%", "percentage", "1%"},
        BadValue{"MEMTRACE_SIGNAL=KILL", "signal", "USR2"}, BadValue{"MEMTRACE_SNAPSHOT_AT=80,,90", "none", "80,90,95"},
        BadValue{"MEMTRACE_SNAPSHOT_AT=0", "1 to 100", "80,90,95"},
        BadValue{"MEMTRACE_SNAPSHOT_AT=1,2,3,4,5,6,7,8,9", "8", "80,90,95"},
        BadValue{"MEMTRACE_KEEP=never", "always or auto", "auto"}, BadValue{"MEMTRACE_KEEP_FILES=0", "1 to", "16"},
        BadValue{"MEMTRACE_MAX=1023KiB", "1MiB to 4GiB", "auto"}, BadValue{"MEMTRACE_MAX=5GiB", "1MiB to 4GiB", "auto"},
        BadValue{"MEMTRACE_FOLLOW=fork,spawn", "fork", "fork,exec"}, BadValue{"MEMTRACE_DEPTH=0", "1 to 1024", "128"},
        BadValue{"MEMTRACE_DEPTH=1025", "1 to 1024", "128"}, BadValue{"MEMTRACE_COMMAND=maybe", "0 or 1", "1"},
        BadValue{"MEMTRACE_SEED=0xg", "number", "0"}, BadValue{"MEMTRACE_UNWINDER=gdb", "libunwind", "own"}));

TEST(ReadOptions, LongAndUnprintableValuesAreCutInTheComplaint) {
  const std::string entry = "MEMTRACE_DIR=/\x1b[2J" + std::string(5000, 'x');
  EXPECT_STREQ(Read({entry.c_str()})->directory, "/tmp/memtrace");
  ASSERT_EQ(g_complaints.size(), 1u);
  EXPECT_LT(g_complaints[0].size(), 400u);
  EXPECT_THAT(g_complaints[0], AllOf(HasSubstr("MEMTRACE_DIR=/?[2Jxx"), HasSubstr("..."), HasSubstr("/tmp/memtrace")));
}

TEST(ReadOptions, UnknownVariablesAreNamedWithTheNearest) {
  Read({"MEMTRACE_SAMPEL=1", "MEMTRACE_DIRECTORY=/x", "MEMTRACE_=", "MEMTRACE_KEEPFILES"});
  ASSERT_EQ(g_complaints.size(), 4u);
  EXPECT_THAT(g_complaints[0], AllOf(HasSubstr("MEMTRACE_SAMPEL "), HasSubstr("MEMTRACE_SAMPLE?")));
  EXPECT_THAT(g_complaints[1], AllOf(HasSubstr("MEMTRACE_DIRECTORY "), HasSubstr("MEMTRACE_DIR?")));
  EXPECT_THAT(g_complaints[3], HasSubstr("MEMTRACE_KEEP_FILES?"));
}

TEST(ReadOptions, QuietSaysNothing) {
  EXPECT_TRUE(Read({"MEMTRACE_SAMPEL=1", "MEMTRACE_DEPTH=x", "MEMTRACE_QUIET=1"})->quiet);
  EXPECT_THAT(g_complaints, IsEmpty());
  EXPECT_FALSE(Read({"MEMTRACE_QUIET=2"})->quiet);
  EXPECT_EQ(g_complaints.size(), 1u);
}

TEST(SignalNumber, Names) {
  EXPECT_EQ(SignalNumber("USR2"), 12);
  EXPECT_EQ(SignalNumber("SIGUSR2"), 12);
  EXPECT_EQ(SignalNumber("sigusr1"), 10);
  EXPECT_EQ(SignalNumber("12"), 12);
  EXPECT_EQ(SignalNumber("RTMIN"), 34);
  EXPECT_EQ(SignalNumber("SIGRTMIN+3"), 37);
  EXPECT_EQ(SignalNumber("RTMIN+30"), 64);
  EXPECT_EQ(SignalNumber("RTMAX-1"), 63);
  EXPECT_EQ(SignalNumber("none"), 0);
}

TEST(SignalNumber, Refused) {
  for (const char* text :
       {"KILL", "9",    "SIGSTOP",  "SEGV",    "11",     "BUS",     "FPE",  "ILL",
        "TRAP", "ABRT", "SYS",      "32",      "33",     "0",       "65",   "-1",
        "",     "SIG",  "RTMIN+31", "RTMIN-1", "RTMIN+", "RTMAX+1", "USR3", "18446744073709551628"}) {
    EXPECT_EQ(SignalNumber(text), -1) << text;
  }
}

TEST(Selects, OnlyAndSkip) {
  EXPECT_TRUE(Selects(*Read({}), "redis-server"));
  const auto options = Read({"MEMTRACE_ONLY=redis-*, nginx", "MEMTRACE_SKIP=*-cli"});
  EXPECT_TRUE(Selects(*options, "redis-server"));
  EXPECT_TRUE(Selects(*options, "nginx"));
  EXPECT_FALSE(Selects(*options, "redis-cli"));
  EXPECT_FALSE(Selects(*options, "sh"));
}

TEST(Variables, EveryFallbackIsReadable) {
  for (const Variable& variable : Variables()) {
    auto options = std::make_unique<Options>();
    EXPECT_TRUE(variable.parse(variable.fallback, options.get())) << variable.name.data;
    EXPECT_EQ(FindVariable(variable.name), &variable);
  }
}

}  // namespace
}  // namespace memtrace::config
