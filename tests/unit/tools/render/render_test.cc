#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/unit/tools/recording_builder.h"
#include "tools/common/utf8.h"
#include "tools/render/folded.h"
#include "tools/render/json.h"
#include "tools/render/page.h"
#include "tools/render/suspect_text.h"
#include "tools/render/target.h"
#include "tools/render/text.h"

extern "C" [[gnu::noinline]] int xmalloc(int x) {
  volatile int y = x;
  y = y * 3;
  return y + 1;
}

namespace shop {

struct AuditTrail {
  [[gnu::noinline]] static int RecordCancellation(const std::string& order, const std::string& reason) {
    volatile size_t size = order.size();
    size = size + reason.size();
    return size != 0 ? 1 : 2;
  }
};

}  // namespace shop

namespace memtrace::tools {
namespace {

template <typename Function>
uint64_t OwnOffset(Function* function) {
  Dl_info info{};
  EXPECT_NE(dladdr(reinterpret_cast<void*>(function), &info), 0);
  return reinterpret_cast<uint64_t>(function) - reinterpret_cast<uint64_t>(info.dli_fbase);
}

using nlohmann::json;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

class RenderTest : public testing::Test {
 protected:
  static SymbolOptions NoSymbols() {
    SymbolOptions options;
    options.enabled = false;
    return options;
  }
  static RecordingBuilder Leaking() {
    RecordingBuilder builder;
    builder.AddModule("/bin/service", "\xab\xcd");
    const uint32_t leak = builder.AddStack({0x1000, 0x1200});
    for (uint64_t i = 0; i < 1000; ++i) builder.Allocate(0x100000 + i * 4096, 1000, leak);
    builder.AddBlob(format::BlobKind::kExecutable, "", "/bin/service");
    builder.AddBlob(format::BlobKind::kCommand, "", std::string("service\0--flag\xff\0", 15));
    builder.AddBlob(format::BlobKind::kCgroupPath, "", "/docker/" + std::string(64, 'a'));
    builder.header().end_ns = RecordingBuilder::kStartNs + 100'000'000'000;
    return builder;
  }
  void Add(const RecordingBuilder& builder) { Add(builder, &symbolizer_); }
  void Add(const RecordingBuilder& builder, Symbolizer* symbolizer) {
    ProcessStates states;
    states.push_back(builder.Decode());
    reports_.push_back(BuildReport(std::move(states), symbolizer, "/nonexistent"));
  }
  json Json() {
    std::ostringstream out;
    WriteJson(reports_, {}, &out);
    return json::parse(out.str());
  }
  std::string Text(TextOptions options = {}) {
    std::ostringstream out;
    WriteText(reports_, options, &out);
    return out.str();
  }

  Symbolizer symbolizer_{NoSymbols()};
  std::vector<Report> reports_;
};

void ExpectKeys(const json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) EXPECT_TRUE(object.contains(key)) << key;
}

TEST_F(RenderTest, JsonHasEveryKey) {
  Add(Leaking());
  const json report = Json();
  EXPECT_EQ(report["schema"], "memtrace.report/1");
  ExpectKeys(report,
             {"target", "recording", "totals", "sites", "suspects", "memory", "cgroup", "oom", "verdict", "others"});
  ExpectKeys(report["target"], {"exe", "command", "pid", "start_time", "uptime_s", "hostname", "container_id", "libc"});
  ExpectKeys(report["recording"], {"state", "trigger", "sampling", "sample_bytes", "attached_late", "dropped"});
  ExpectKeys(report["recording"]["dropped"], {"allocations", "frees", "reason"});
  ExpectKeys(report["totals"], {"allocations", "allocated_bytes", "frees", "freed_bytes", "live_allocations",
                                "live_bytes", "peak_live_bytes", "peak_live_allocations", "temporary_allocations"});
  ExpectKeys(report["sites"][0],
             {"id", "allocations", "allocated_bytes", "live_allocations", "live_bytes", "live_bytes_ci95", "peak_bytes",
              "temporary_allocations", "behaviour", "growth_bytes", "stack"});
  ExpectKeys(report["sites"][0]["stack"][0], {"function", "file", "line", "module", "build_id", "offset", "inlined"});
  ExpectKeys(report["suspects"][0],
             {"id", "rank", "site", "kind", "confidence", "live_bytes", "growth_bytes_per_s", "survival", "age_s",
              "why", "stack", "behaviour", "place", "accumulates_at", "places", "paths", "related"});
  ExpectKeys(report["memory"], {"cgroup_bytes", "native_live_bytes", "allocator_overhead_bytes", "other_anon_bytes",
                                "stacks_bytes", "file_bytes", "shmem_bytes", "kernel_bytes", "other_processes_bytes"});
  ExpectKeys(report["cgroup"],
             {"version", "path", "limit_bytes", "usage_bytes", "working_set_bytes", "peak_bytes", "swap_bytes",
              "oom_events", "oom_kills", "pids", "pids_limit", "pressure_full_avg10", "timeline"});
  ExpectKeys(report["oom"], {"container_oom_killed", "exit_code", "kills"});
  ExpectKeys(report["verdict"],
             {"cause", "confidence", "summary", "evidence", "recommended_limit_bytes", "time_to_limit_s", "advice"});
}

TEST_F(RenderTest, DropsThatNobodyCountsAreNull) {
  RecordingBuilder builder = Leaking();
  Add(builder);
  EXPECT_EQ(Json()["recording"]["dropped"], json({{"allocations", 0}, {"frees", 0}, {"reason", nullptr}}));
  reports_.clear();
  builder.header().drops[static_cast<size_t>(format::Drop::kNoThreadBuffer)] = 2;
  Add(builder);
  EXPECT_EQ(Json()["recording"]["dropped"],
            json({{"allocations", nullptr}, {"frees", nullptr}, {"reason", "no room for another thread: 2"}}));
}

TEST_F(RenderTest, JsonHasTheWarningsThatCameUpWhileItWasWritten) {
  RecordingBuilder builder = Leaking();
  for (uint64_t i = 0; i < 20; ++i) {
    const uint16_t module = builder.AddModule("/nonexistent/plugin" + std::to_string(i), "\xab");
    builder.Allocate(0x10 + i * 16, 1, builder.AddStack({0x1000}, module));  // too little to be named before
  }
  Symbolizer names({});
  Add(builder, &names);
  const size_t before = names.warnings().size();
  std::ostringstream out;
  WriteJson(reports_, names.warnings(), &out);
  EXPECT_LT(before, names.warnings().size());
  EXPECT_EQ(json::parse(out.str())["warnings"].size(), names.warnings().size());
}

TEST_F(RenderTest, JsonValues) {
  Add(Leaking());
  const json report = Json();
  EXPECT_EQ(report["totals"]["live_bytes"], 1000000);
  EXPECT_EQ(report["sites"][0]["live_bytes_ci95"], json({1000000, 1000000}));
  EXPECT_EQ(report["sites"][0]["stack"][0]["offset"], 0x1200);
  EXPECT_EQ(report["sites"][0]["stack"][0]["build_id"], "abcd");
  EXPECT_TRUE(report["sites"][0]["stack"][0]["function"].is_null());
  EXPECT_EQ(report["suspects"][0]["site"], report["sites"][0]["id"]);
  EXPECT_TRUE(report["memory"]["cgroup_bytes"].is_null());
  EXPECT_EQ(report["target"]["start_time"], "2025-11-22T13:15:00.000Z");
  EXPECT_EQ(report["target"]["uptime_s"], 100.0);
  EXPECT_EQ(report["target"]["command"][0], "service");
  EXPECT_EQ(report["target"]["command"][1], "--flag\xef\xbf\xbd");  // what is no UTF-8 is replaced
  EXPECT_EQ(report["target"]["container_id"], std::string(64, 'a'));
  EXPECT_EQ(report["oom"]["kills"], json::array());
}

TEST_F(RenderTest, SuspectIdsAreTheSameAtOtherAddresses) {
  Add(Leaking());
  RecordingBuilder elsewhere;
  elsewhere.AddModule("/bin/service", "\xab\xcd", 0x7f5500000000);
  const uint32_t leak = elsewhere.AddStack({0x1000, 0x1200});
  for (uint64_t i = 0; i < 1000; ++i) elsewhere.Allocate(0x100000 + i * 4096, 1000, leak);
  Add(elsewhere);
  const json report = Json();
  EXPECT_THAT(report["suspects"][0]["id"].get<std::string>(), testing::MatchesRegex("MT-[0-9a-f]{6}"));
  EXPECT_EQ(report["suspects"][0]["id"], report["others"][0]["suspects"][0]["id"]);
  EXPECT_EQ(report["sites"][0]["id"], report["others"][0]["sites"][0]["id"]);
}

TEST_F(RenderTest, TextBeginsWithTheVerdictAndFitsThePage) {
  Add(Leaking());
  const std::string text = Text();
  EXPECT_THAT(text, StartsWith("Verdict: native-leak"));
  EXPECT_THAT(text, HasSubstr("Problem suspect 1 [MT-"));
  EXPECT_THAT(text, HasSubstr("service+0x1200"));
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 81u) << line;  // "±" has two bytes
  EXPECT_THAT(Text({.top = 10, .look = {.colour = true}}), HasSubstr("\033[1;31m"));
}

TEST_F(RenderTest, ASuspectsParagraphStandsAlone) {
  RecordingBuilder builder = Leaking();
  builder.AddBlob(format::BlobKind::kCgroupFile, "memory.max", "4000000\n");
  Add(builder);
  const Suspect& suspect = reports_[0].suspects.at(0);
  EXPECT_THAT(SuspectHeading(suspect, 1), testing::MatchesRegex("Problem suspect 1 \\[MT-[0-9a-f]{6}\\] .*, .*"));
  const std::string text = SuspectParagraph(reports_[0], suspect);
  EXPECT_THAT(text,
              StartsWith("976.6 KiB in 1.0k blocks that service+0x1200 allocated are live, 100 % of the native heap"));
  EXPECT_THAT(text, HasSubstr("Half of these bytes are older than"));
  EXPECT_THAT(text, HasSubstr("/s of growth"));
  EXPECT_THAT(text, HasSubstr("every block was recorded"));
}

TEST_F(RenderTest, TextInAsciiWhereTheLocaleWantsIt) {
  RecordingBuilder builder = Leaking();
  builder.AddBlob(format::BlobKind::kExecutable, "", "/bin/caf\xc3\xa9");
  Add(builder);
  EXPECT_THAT(Text(), HasSubstr("caf\xc3\xa9"));
  const std::string ascii = Text({.top = 10, .look = {.utf8 = false}});
  EXPECT_THAT(ascii, HasSubstr("/bin/caf? as service (pid"));
  EXPECT_TRUE(std::all_of(ascii.begin(), ascii.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

TEST_F(RenderTest, TextComparesWithTheBaseline) {
  RecordingBuilder earlier;
  earlier.AddModule("/bin/service", "\xab\xcd");
  earlier.Allocate(0x100000, 300'000, earlier.AddStack({0x1000, 0x1200}));
  earlier.Allocate(0x200000, 50'000, earlier.AddStack({0x1000, 0x1400}));
  earlier.header().pid = 7;
  Add(Leaking());
  Report& report = reports_[0];
  report.baseline = Compare(earlier.Decode(), *report.profile, report.table, report.frames.get(), &symbolizer_);
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("\nAgainst the baseline\n"));
  EXPECT_THAT(text, HasSubstr("no earlier state of this process"));
  EXPECT_THAT(text, HasSubstr("   +683.6 KiB    +999  service+0x1200\n    -48.8 KiB      -1  service+0x1400\n"));
}

TEST_F(RenderTest, TheNextCommandIsSafeToPaste) {
  ProcessStates states;
  states.push_back(Leaking().Decode());
  states.back().file_name = "/tmp/it's $(reboot).rec";
  reports_.push_back(BuildReport(std::move(states), &symbolizer_, "/nonexistent"));
  EXPECT_THAT(Text(), HasSubstr("memtrace-report --html=report.html '/tmp/it'\\''s $(reboot).rec'\n"));
}

TEST_F(RenderTest, TextShowsTheProgramAndNotItsLibraries) {
  Symbolizer names({});
  RecordingBuilder builder;
  builder.AddModule(std::filesystem::read_symlink("/proc/self/exe").string());
  const uint64_t helper = OwnOffset(&xmalloc);
  const uint32_t leak =
      builder.AddStack({OwnOffset(&shop::AuditTrail::RecordCancellation) + 1, helper + 2, helper + 1});
  for (uint64_t i = 0; i < 1000; ++i) builder.Allocate(0x100000 + i * 4096, 1000, leak);
  Add(builder, &names);
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("allocated by shop::AuditTrail::RecordCancellation"));
  EXPECT_THAT(text, HasSubstr("    ... 2 frames of an allocation wrapper\n    shop::AuditTrail::RecordCancellation("));
  EXPECT_THAT(text, HasSubstr("  ...RecordCancellation\n"));  // in the table
  EXPECT_THAT(text, Not(HasSubstr("basic_string")));
  const json stack = Json()["suspects"][0]["stack"];
  ASSERT_THAT(stack, SizeIs(3));
  EXPECT_EQ(stack[0]["function"], "xmalloc");
  EXPECT_THAT(stack[2]["function"].get<std::string>(), HasSubstr("std::char_traits<char>"));
}

// A static function of a stripped program has no name.
TEST_F(RenderTest, WhatAHelperCallsWithoutANameIsAPartOfIt) {
  constexpr uint64_t kNameless = 0x10;
  Symbolizer names({});
  RecordingBuilder builder;
  builder.AddModule(std::filesystem::read_symlink("/proc/self/exe").string());
  const uint16_t other = builder.AddModule("/lib/other.so", {}, 0x7f0000000000);
  const uint64_t place = OwnOffset(&shop::AuditTrail::RecordCancellation) + 1;
  const uint64_t helper = OwnOffset(&xmalloc) + 1;
  const uint32_t own = builder.AddStack({place, helper, kNameless});
  const uint32_t called_back = builder.AddNode({.pc_module = uint64_t{other} << 48 | (0x7f0000000000 + 0x20),
                                                .parent = builder.AddStack({place, helper}),
                                                .depth = 3,
                                                .flags = 0});
  builder.Allocate(0x100000, 1000, own);
  builder.Allocate(0x200000, 500, called_back);
  Add(builder, &names);
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("1000 B                   1        1            ...RecordCancellation\n"));
  EXPECT_THAT(text, HasSubstr("500 B                    1        1            other.so+0x20\n"));
}

TEST_F(RenderTest, SitesWithoutALiveBlockAreNoConsumers) {
  RecordingBuilder builder;
  builder.AddModule("/bin/service");
  builder.AllocateAndFree(4000, 100, builder.AddStack({0x2000}), 4000);
  Add(builder);
  EXPECT_THAT(Text(), HasSubstr("0 B                      0      100            service+0x2000\n"));
  reports_.clear();
  builder.Allocate(0x100000, 1000, builder.AddStack({0x1000}));
  Add(builder);
  EXPECT_THAT(Text(), HasSubstr("service+0x1000\n  ... 1 more site without a live block, see --top or --json\n"));
}

TEST_F(RenderTest, ATitleIsNoNameOfAProgram) {
  for (const auto& [command, seen] : {std::pair("nginx: master process -p /var/run", "/bin/service (pid"),
                                      std::pair("/usr/bin/other", "/bin/service as other (pid")}) {
    reports_.clear();
    RecordingBuilder builder = Leaking();
    builder.AddBlob(format::BlobKind::kCommand, "", std::string(command) + '\0');
    Add(builder);
    EXPECT_THAT(Text(), HasSubstr(seen));
  }
}

class BridgeOfTheDeadTest : public RenderTest {
 protected:
  // 2.1 s before the recording ends.
  static Profile Snapshot(bool with_files) {
    RecordingBuilder builder = Leaking();
    builder.header().state = static_cast<uint32_t>(format::State::kSnapshot);
    builder.header().trigger = static_cast<uint32_t>(format::Trigger::kThreshold);
    builder.header().trigger_percent = 95;
    builder.header().end_ns = RecordingBuilder::kStartNs + 97'900'000'000;
    builder.AddBlob(format::BlobKind::kCgroupFile, "memory.current", "9000000\n");
    if (with_files) builder.AddBlob(format::BlobKind::kCgroupFile, "memory.stat", "file 3000000\nshmem 1000000\n");
    return builder.Decode();
  }
  void AddStates(bool with_files, RecordingBuilder recording) {
    ProcessStates states;
    states.push_back(Snapshot(with_files));
    states.push_back(recording.Decode());
    reports_.push_back(BuildReport(std::move(states), &symbolizer_, "/nonexistent"));
  }
};

TEST_F(BridgeOfTheDeadTest, IsOfTheNewestSnapshot) {
  RecordingBuilder recording = Leaking();
  recording.Allocate(0x90000000, 5000, 1);
  AddStates(true, recording);
  EXPECT_THAT(Text(), HasSubstr("\nWhere the memory was at the snapshot 2.1 s before the end (95 %)\n"));
  const json report = Json();
  EXPECT_EQ(report["totals"]["live_bytes"], 1005000);
  EXPECT_EQ(report["memory"]["native_live_bytes"], 1000000);  // all of one moment
  EXPECT_EQ(report["memory"]["cgroup_bytes"], 9000000);
  EXPECT_EQ(report["memory"]["file_bytes"], 2000000);
  EXPECT_TRUE(report["memory"]["kernel_bytes"].is_null());  // the snapshot does not know it either
  EXPECT_EQ(report["memory"]["snapshot_before_end_s"], 2.1);
}

TEST_F(BridgeOfTheDeadTest, IsItsOwnWhereItHasOne) {
  RecordingBuilder recording = Leaking();
  recording.AddBlob(format::BlobKind::kCgroupFile, "memory.stat", "file 7000000\nshmem 0\n");
  AddStates(true, recording);
  EXPECT_EQ(Json()["memory"]["file_bytes"], 7000000);
  EXPECT_THAT(Text(), HasSubstr("\nWhere the memory is\n"));
}

TEST_F(BridgeOfTheDeadTest, StaysUnknownWhereNoSnapshotKnows) {
  AddStates(false, Leaking());
  EXPECT_TRUE(Json()["memory"]["file_bytes"].is_null());
  EXPECT_TRUE(Json()["memory"]["snapshot_before_end_s"].is_null());
  EXPECT_THAT(Text(), HasSubstr("\nWhere the memory is\n"));
}

TEST_F(RenderTest, TextNamesLosses) {
  RecordingBuilder builder = Leaking();
  builder.AddLive(0x5000, 10, 12345);
  Add(builder);
  EXPECT_THAT(Text(), HasSubstr("1 stacks of live blocks"));
  EXPECT_THAT(Json()["losses"], SizeIs(1));
}

TEST_F(RenderTest, EscapeSequencesInNamesDoNotReachTheTerminal) {
  RecordingBuilder builder = Leaking();
  builder.AddBlob(format::BlobKind::kHostname, "", "h");
  builder.AddBlob(format::BlobKind::kExecutable, "", "/bin/\033]0;evil\007");
  Add(builder);
  EXPECT_THAT(Text(), Not(HasSubstr("\033")));
}

TEST_F(RenderTest, FoldedStacksRunFromTheOutside) {
  Add(Leaking());
  std::ostringstream out;
  WriteFolded(reports_[0], Metric::kLive, &out);
  EXPECT_EQ(out.str(), "service+0x1000;service+0x1200 1000000\n");
  std::ostringstream temporary;
  WriteFolded(reports_[0], Metric::kTemporary, &temporary);
  EXPECT_EQ(temporary.str(), "");
}

TEST_F(RenderTest, FoldedStacksOfNamesThatWouldBreakThem) {
  RecordingBuilder builder;
  builder.AddModule("/bin/a;b\nc\x1b[31m", "\xab");
  builder.Allocate(0x100000, 1000, builder.AddStack({0x1000}));
  Add(builder);
  std::ostringstream out;
  WriteFolded(reports_[0], Metric::kLive, &out);
  EXPECT_EQ(out.str(), "a:b?c?[31m+0x1000 1000\n");
}

TEST(PageTest, ParagraphsWrap) {
  std::ostringstream out;
  Page page(&out, {});
  std::string text;
  for (int i = 0; i < 60; ++i) text += "word ";
  page.Paragraph(text, 4, "- ");
  std::istringstream lines(out.str());
  std::vector<size_t> lengths;
  for (std::string line; std::getline(lines, line);) lengths.push_back(line.size());
  EXPECT_THAT(lengths, Each(testing::Le(80u)));
  EXPECT_GT(lengths.size(), 3u);
}

TEST(PageTest, CountsCharactersAndBreaksLongWords) {
  std::ostringstream out;
  Page page(&out, {});
  std::string wide;
  for (int i = 0; i < 200; ++i) wide += "\xc3\xa4";
  page.Paragraph("short " + wide + " end", 2);
  std::istringstream lines(out.str());
  std::vector<size_t> lengths;
  for (std::string line; std::getline(lines, line);) lengths.push_back(CountCharacters(line));
  EXPECT_THAT(lengths, testing::ElementsAre(7, 80, 80, 50));
  EXPECT_EQ(CountCharacters(Shortened(wide, 20)), 20u);
  EXPECT_EQ(ValidUtf8(Shortened(wide, 20)), Shortened(wide, 20));
}

TEST(PageTest, NothingThatATerminalObeys) {
  std::ostringstream out;
  Page(&out, {}).Line("a\033[31m\xc2\x9b\xe2\x80\xae\xe2\x80\x8b\xff\tz");
  EXPECT_EQ(out.str(), "a?[31m?????z\n");
}

TEST(PageTest, ShortensInTheMiddle) {
  EXPECT_EQ(Shortened("short", 10), "short");
  EXPECT_THAT(Shortened(std::string(100, 'x'), 20), SizeIs(20));
}

}  // namespace
}  // namespace memtrace::tools
