#include "tools/render/text_evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <sstream>

#include "tests/unit/tools/recording_builder.h"
#include "tools/analysis/join.h"
#include "tools/symbols/symbolizer.h"

namespace memtrace::tools {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int64_t kEndNs = static_cast<int64_t>(RecordingBuilder::kStartNs) + 100'000'000'000;

// A recording in one container, and a kernel log of its host.
class TextEvidenceTest : public testing::Test {
 protected:
  TextEvidenceTest() { evidence_->files.push_back({"kern.log", "kernel log", {}}); }

  void AddKill(const char* comm, uint32_t pid, char id_digit, int64_t time_ns = kEndNs) {
    OomKill kill;
    kill.place = {0, pid};
    kill.pid = pid;
    kill.comm = comm;
    kill.scope = OomScope::kMemcg;
    kill.container_id = std::string(64, id_digit);
    kill.oom_memcg = kill.task_memcg = "/docker/" + kill.container_id;
    kill.time.unix_ns = time_ns;
    evidence_->kills.push_back(kill);
  }
  std::vector<Report> Recorded() {
    RecordingBuilder builder;
    builder.AddBlob(format::BlobKind::kExecutable, "", "/usr/bin/shop");
    builder.AddBlob(format::BlobKind::kCgroupPath, "", "/docker/" + std::string(64, 'a'));
    builder.header().end_ns = static_cast<uint64_t>(kEndNs);
    ProcessStates states;
    states.push_back(builder.Decode());
    std::vector<Report> reports;
    reports.push_back(BuildReport(std::move(states), &symbolizer_, "/nonexistent"));
    return reports;
  }
  std::string Text(std::vector<Report> reports, size_t top = 10) {
    JoinEvidence(std::move(evidence_), &reports);
    std::ostringstream out;
    Page page(&out, {});
    WriteKills(reports.at(0), top, &page);
    return out.str();
  }

  std::unique_ptr<Evidence> evidence_ = std::make_unique<Evidence>();
  Symbolizer symbolizer_{SymbolOptions{}};
};

TEST_F(TextEvidenceTest, KillsElsewhereAreALine) {
  AddKill("neighbour", 11, 'b', kEndNs - 5'000'000'000);
  AddKill("shop", 12, 'a');
  AddKill("other", 13, 'c', kEndNs + 5'000'000'000);
  AddKill("neighbour", 14, 'b');
  const std::string text = Text(Recorded());
  EXPECT_THAT(text, HasSubstr("\nKilled for memory\n  shop (pid 12), "));
  EXPECT_THAT(text, HasSubstr("\n  ... 3 elsewhere, newest: other (pid 13), 2025-11-22T13:16:45.000Z, see --top\n"));
  EXPECT_THAT(text, Not(HasSubstr("neighbour")));
}

TEST_F(TextEvidenceTest, OthersOfTheSameLimitAreListed) {
  AddKill("worker", 11, 'a');
  AddKill("shop", 12, 'a');
  const std::string text = Text(Recorded());
  EXPECT_THAT(text, HasSubstr("Killed for memory: 2 processes\n  shop (pid 12)"));
  EXPECT_THAT(text, HasSubstr("\n  worker (pid 11)"));
  EXPECT_THAT(text, Not(HasSubstr("elsewhere")));
}

TEST_F(TextEvidenceTest, WhereNoneIsOfTheContainerTheLineSaysSo) {
  AddKill("neighbour", 11, 'b');
  EXPECT_THAT(Text(Recorded()), HasSubstr("\nKilled for memory\n  1 elsewhere, neighbour (pid 11), "));
}

TEST_F(TextEvidenceTest, AllWithTopZero) {
  AddKill("neighbour", 11, 'b');
  AddKill("shop", 12, 'a');
  const std::string text = Text(Recorded(), 0);
  EXPECT_THAT(text, HasSubstr("Killed for memory: 2 processes\n  shop (pid 12)"));
  EXPECT_THAT(text, HasSubstr("\n  neighbour (pid 11)"));
}

TEST_F(TextEvidenceTest, ALogAloneIsAboutEverybody) {
  AddKill("neighbour", 11, 'b');
  AddKill("shop", 12, 'a');
  const std::string text = Text({});
  EXPECT_THAT(text, HasSubstr("Killed for memory: 2 processes"));
  EXPECT_THAT(text, HasSubstr("neighbour (pid 11)"));
}

}  // namespace
}  // namespace memtrace::tools
