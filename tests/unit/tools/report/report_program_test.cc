// The program as a user meets it: exit status, and what goes where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/unit/tools/recording_builder.h"

namespace memtrace::tools {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

struct Outcome {
  int status;
  std::string out;
  std::string err;
};

class ReportProgramTest : public testing::Test {
 protected:
  ReportProgramTest() : directory_(testing::TempDir() + "/report-" + std::to_string(getpid())) {
    std::filesystem::create_directories(directory_);
  }
  ~ReportProgramTest() override { std::filesystem::remove_all(directory_); }

  std::string Slurp(const std::string& name) {
    std::ifstream file(directory_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  Outcome Run(const std::string& arguments) {
    const std::string command =
        "cd " + directory_ + " && " MEMTRACE_REPORT_PATH " " + arguments + " > stdout 2> stderr";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, Slurp("stdout"), Slurp("stderr")};
  }
  void Write(const std::string& name, const std::vector<std::byte>& bytes) {
    std::ofstream file(directory_ + "/" + name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  static RecordingBuilder Leaking(uint32_t pid = 4242, uint64_t blocks = 1000) {
    RecordingBuilder builder;
    builder.header().pid = pid;
    builder.AddModule("/nonexistent/service", "\xab\xcd");
    const uint32_t leak = builder.AddStack({0x1000, 0x1200});
    for (uint64_t i = 0; i < blocks; ++i) builder.Allocate(0x100000 + i * 4096, 1000, leak);
    return builder;
  }

  std::string directory_;
};

TEST_F(ReportProgramTest, TextByDefault) {
  Write("a.rec", Leaking().Build());
  const Outcome outcome = Run("a.rec");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, StartsWith("Verdict: native-leak"));
  EXPECT_THAT(outcome.err, HasSubstr("warning"));  // the module is not on this machine
}

TEST_F(ReportProgramTest, SeveralOutputsAtOnce) {
  Write("a.rec", Leaking().Build());
  const Outcome outcome = Run("--no-symbols --json=report.json --folded a.rec");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.out, "service+0x1000;service+0x1200 1000000\n");
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(nlohmann::json::parse(Slurp("report.json"))["totals"]["live_bytes"], 1000000);
}

TEST_F(ReportProgramTest, StandardInput) {
  Write("a.rec", Leaking().Build());
  EXPECT_EQ(Run("--json - < a.rec").status, 0);
}

TEST_F(ReportProgramTest, DirectoriesGiveTheLargestProcessFirst) {
  Write("a.rec", Leaking(1, 700).Build());
  Write("b.rec", Leaking(2, 900).Build());
  const auto report = nlohmann::json::parse(Run("--json .").out);
  EXPECT_EQ(report["target"]["pid"], 2);
  EXPECT_EQ(report["others"][0]["target"]["pid"], 1);
}

TEST_F(ReportProgramTest, ManySmallProcessesBesideALargeOne) {
  Write("large.rec", Leaking(1, 900).Build());
  for (uint32_t pid = 2; pid <= 40; ++pid) {
    RecordingBuilder builder;  // of a process that did nothing yet
    if (pid % 2 == 0) builder = Leaking(pid, 2);
    builder.header().pid = pid;
    builder.header().thread_count = pid % 3 == 0 ? 0 : builder.header().thread_count;
    Write("small" + std::to_string(pid) + ".rec", builder.Build());
  }
  for (const char* options : {"--no-symbols .", "--no-symbols --top 0 .", "--no-symbols --top 1 ."}) {
    const Outcome outcome = Run(options);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    const size_t begin = outcome.out.find("Other processes\n");
    ASSERT_NE(begin, std::string::npos);
    const std::string others = outcome.out.substr(begin, outcome.out.find("\n\n", begin) - begin);
    EXPECT_EQ(std::count(others.begin(), others.end(), '\n'), 5) << others;
    EXPECT_THAT(others, HasSubstr("... 35 more"));
  }
  const auto report = nlohmann::json::parse(Run("--no-symbols --json .").out);
  EXPECT_EQ(report["target"]["pid"], 1);
  EXPECT_EQ(report["others"].size(), 39u);
}

TEST_F(ReportProgramTest, UnreadableInputIsStatus1) {
  Write("foreign", std::vector<std::byte>(5000));
  for (const char* argument : {"missing.rec", "foreign", ".", "/dev/zero", "- < /dev/null"}) {
    const Outcome outcome = Run(argument);
    EXPECT_EQ(outcome.status, 1) << argument;
    EXPECT_EQ(outcome.out, "") << argument;
    EXPECT_THAT(outcome.err, StartsWith("memtrace-report: ")) << argument;
  }
}

TEST_F(ReportProgramTest, AnotherVersionIsStatus1) {
  for (const uint32_t version : {format::kVersion - 1, format::kVersion + 7}) {
    RecordingBuilder builder = Leaking();
    builder.header().version = version;
    Write("a.rec", builder.Build());
    const Outcome outcome = Run("a.rec");
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("version " + std::to_string(version)),
                                   HasSubstr("reads version " + std::to_string(format::kVersion)),
                                   HasSubstr("the memtrace-report that belongs to the library")));
  }
}

TEST_F(ReportProgramTest, WrongUsageIsStatus2) {
  for (const char* arguments :
       {"", "--nonsense a.rec", "--top many a.rec", "--metric heaviest a.rec", "--fail-on it a.rec"}) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments;
    EXPECT_NE(outcome.err, "") << arguments;
    EXPECT_EQ(outcome.out, "") << arguments;
  }
}

TEST_F(ReportProgramTest, DamagedInputIsStatus3AndSaysWhatWasLost) {
  std::vector<std::byte> bytes = Leaking().Build();
  bytes.resize(bytes.size() / 2);
  Write("a.rec", bytes);
  const Outcome outcome = Run("--no-symbols a.rec");
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.out, HasSubstr("Losses"));
}

TEST_F(ReportProgramTest, OneBadFileAmongGoodOnesIsStatus3) {
  Write("a.rec", Leaking().Build());
  Write("b.rec", std::vector<std::byte>(10));
  EXPECT_EQ(Run("--no-symbols .").status, 3);
}

TEST_F(ReportProgramTest, FailOnIsStatus4) {
  Write("a.rec", Leaking().Build());
  EXPECT_EQ(Run("--no-symbols --fail-on suspect a.rec").status, 4);
  EXPECT_EQ(Run("--no-symbols --fail-on oom a.rec").status, 0);
}

TEST_F(ReportProgramTest, ABaselineWithoutARecordingIsStatus1) {
  Write("a.rec", Leaking().Build());
  const Outcome outcome = Run("--no-symbols --baseline missing.rec a.rec");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("--baseline compares two recordings"));
  EXPECT_EQ(Run("--no-symbols --baseline a.rec a.rec").status, 0);
}

TEST_F(ReportProgramTest, SuppressionsThatCannotBeRead) {
  Write("a.rec", Leaking().Build());
  EXPECT_EQ(Run("--no-symbols --suppressions missing a.rec").status, 1);
  std::ofstream(directory_ + "/wrong") << "nonsense\n";
  EXPECT_EQ(Run("--no-symbols --suppressions wrong a.rec").status, 2);
  std::ofstream(directory_ + "/known") << "leak:service\n";
  EXPECT_EQ(Run("--no-symbols --fail-on suspect --suppressions known a.rec").status, 0);
  EXPECT_THAT(Run("--no-symbols --suppressions known a.rec").out, HasSubstr("1 suspect was passed over"));
}

TEST_F(ReportProgramTest, HelpersThatCannotBeRead) {
  Write("a.rec", Leaking().Build());
  EXPECT_EQ(Run("--no-symbols --helpers missing a.rec").status, 1);
  EXPECT_THAT(Run("--no-symbols --helpers missing a.rec").err,
              HasSubstr("cannot read the helpers missing: No such file"));
  std::ofstream(directory_ + "/ours") << "# ours\nshop::Allocate*\n";
  EXPECT_EQ(Run("--no-symbols --helpers ours a.rec").status, 0);
}

TEST_F(ReportProgramTest, TwoOutputsToStandardOutputAreStatus2) {
  Write("a.rec", Leaking().Build());
  const Outcome outcome = Run("--no-symbols --json --folded a.rec");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("both go to standard output"));
}

TEST_F(ReportProgramTest, HelpAndVersionGoToStandardOutput) {
  EXPECT_THAT(Run("--help").out, AllOf(HasSubstr("--sysroot"), HasSubstr("--html")));
  EXPECT_EQ(Run("--version").status, 0);
}

TEST_F(ReportProgramTest, AFullDiskIsStatus1) {
  Write("a.rec", Leaking().Build());
  const Outcome outcome = Run("--no-symbols --json=/dev/full a.rec");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("cannot write"));
}

}  // namespace
}  // namespace memtrace::tools
