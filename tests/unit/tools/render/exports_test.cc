// The formats of other tools.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/unit/tools/recording_builder.h"
#include "tools/render/folded.h"
#include "tools/render/jeprof.h"
#include "tools/render/json.h"
#include "tools/render/pprof.h"
#include "tools/render/profile.pb.h"
#include "tools/render/speedscope.h"

namespace memtrace::tools {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::string Gunzip(const std::string& packed) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
  std::string text(size_t{1} << 24, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

class ExportsTest : public testing::Test {
 protected:
  static SymbolOptions NoSymbols() {
    SymbolOptions options;
    options.enabled = false;
    return options;
  }
  // Two sites; `kept` blocks of the first, 5 of the second, which also has freed some.
  static RecordingBuilder Service(uint64_t kept) {
    RecordingBuilder builder;
    builder.AddModule("/bin/service", "\xab\xcd");
    const uint32_t first = builder.AddStack({0x1000, 0x1200});
    const uint32_t second = builder.AddStack({0x1000, 0x1300});
    for (uint64_t i = 0; i < kept; ++i) builder.Allocate(0x100000 + i * 4096, 1000, first);
    for (uint64_t i = 0; i < 5; ++i) builder.Allocate(0x900000 + i * 4096, 10, second);
    builder.AllocateAndFree(100, 3, second, 1000);
    builder.header().end_ns = RecordingBuilder::kStartNs + 1'000'000'000;
    return builder;
  }
  Report& Build(const RecordingBuilder& builder) {
    ProcessStates states;
    states.push_back(builder.Decode());
    reports_.push_back(BuildReport(std::move(states), &symbolizer_, "/nonexistent"));
    return reports_.back();
  }
  void AddBaseline(const RecordingBuilder& builder, Report* report) {
    report->baseline = Compare(builder.Decode(), *report->profile, report->table, report->frames.get(), &symbolizer_);
  }
  static pprof::Profile Pprof(const Report& report, Metric metric) {
    std::ostringstream out;
    WritePprof(report, metric, &out);
    pprof::Profile profile;
    EXPECT_TRUE(profile.ParseFromString(Gunzip(out.str())));
    return profile;
  }

  Symbolizer symbolizer_{NoSymbols()};
  std::vector<Report> reports_;
};

TEST_F(ExportsTest, PprofHoldsTheFourValues) {
  const pprof::Profile profile = Pprof(Build(Service(7)), Metric::kLive);
  std::vector<std::string> types;
  for (const auto& type : profile.sample_type()) types.push_back(profile.string_table(static_cast<int>(type.type())));
  EXPECT_THAT(types, ElementsAre("alloc_objects", "alloc_space", "inuse_objects", "inuse_space"));
  EXPECT_EQ(profile.string_table(static_cast<int>(profile.default_sample_type())), "inuse_space");
  EXPECT_EQ(profile.string_table(0), "");
  ASSERT_EQ(profile.sample_size(), 2);
  EXPECT_THAT(profile.sample(0).value(), ElementsAre(7, 7000, 7, 7000));
  EXPECT_THAT(profile.sample(1).value(), ElementsAre(8, 350, 5, 50));
  EXPECT_EQ(profile.period(), 1);
  EXPECT_EQ(profile.duration_nanos(), 1'000'000'000);
}

TEST_F(ExportsTest, PprofNamesThePlaces) {
  const pprof::Profile profile = Pprof(Build(Service(7)), Metric::kLive);
  ASSERT_EQ(profile.mapping_size(), 1);
  const pprof::Mapping& mapping = profile.mapping(0);
  EXPECT_EQ(profile.string_table(static_cast<int>(mapping.filename())), "/bin/service");
  EXPECT_EQ(profile.string_table(static_cast<int>(mapping.build_id())), "abcd");
  EXPECT_FALSE(mapping.has_functions());
  ASSERT_EQ(profile.sample(0).location_id_size(), 2);
  const pprof::Location& inner = profile.location(static_cast<int>(profile.sample(0).location_id(0)) - 1);
  EXPECT_EQ(inner.address(), RecordingBuilder::kModuleBase + 0x1200);
  EXPECT_EQ(inner.mapping_id(), mapping.id());
  EXPECT_EQ(profile.sample(0).location_id(1), profile.sample(1).location_id(1));  // the common caller
}

TEST_F(ExportsTest, PprofShowsTheMetricFirst) {
  const pprof::Profile profile = Pprof(Build(Service(7)), Metric::kPeak);
  EXPECT_EQ(profile.string_table(static_cast<int>(profile.default_sample_type())), "peak_space");
  EXPECT_EQ(profile.sample_type_size(), 5);
  EXPECT_EQ(profile.sample(0).value_size(), 5);
}

TEST_F(ExportsTest, PprofTakesTheBaselineAway) {
  Report& report = Build(Service(7));
  AddBaseline(Service(3), &report);
  const pprof::Profile profile = Pprof(report, Metric::kLive);
  ASSERT_EQ(profile.sample_size(), 4);
  EXPECT_EQ(profile.sample(0).label_size(), 0);
  EXPECT_THAT(profile.sample(2).value(), ElementsAre(-3, -3000, -3, -3000));
  EXPECT_EQ(profile.string_table(static_cast<int>(profile.sample(2).label(0).key())), "pprof::base");
}

TEST_F(ExportsTest, SpeedscopeWeighsWhatTheReportWeighs) {
  std::ostringstream out;
  WriteSpeedscope(Build(Service(7)), Metric::kAllocated, &out);
  const json file = json::parse(out.str());
  const json& active = file["profiles"][file["activeProfileIndex"].get<size_t>()];
  EXPECT_EQ(active["name"], "allocated bytes");
  EXPECT_EQ(active["weights"], json({7000, 350}));
  EXPECT_EQ(active["endValue"], 7350);
  std::vector<std::string> names;
  for (const json& frame : active["samples"][1]) names.push_back(file["shared"]["frames"][frame.get<size_t>()]["name"]);
  EXPECT_THAT(names, ElementsAre("service+0x1000", "service+0x1300"));
}

TEST_F(ExportsTest, JeprofHasStacksAndMaps) {
  std::ostringstream out;
  WriteJeprof(Build(Service(7)), &out);
  EXPECT_THAT(out.str(), testing::StartsWith("heap_v2/1\n  t*: 12: 7050 [15: 7350]\n@ 0x401200 0x401001\n"
                                             "  t*: 7: 7000 [7: 7000]\n@ 0x401300 0x401001\n  t*: 5: 50 [8: 350]\n"));
  EXPECT_THAT(out.str(), HasSubstr("\nMAPPED_LIBRARIES:\n400000-"));
  EXPECT_THAT(out.str(), HasSubstr("/bin/service\n"));
}

TEST_F(ExportsTest, FoldedWithABaselineHasBothWeights) {
  Report& report = Build(Service(7));
  AddBaseline(Service(3), &report);
  std::ostringstream out;
  WriteFolded(report, Metric::kLive, &out);
  EXPECT_EQ(out.str(), "service+0x1000;service+0x1200 3000 7000\nservice+0x1000;service+0x1300 50 50\n");
}

TEST_F(ExportsTest, JsonSaysWhatBecameOfTheBaseline) {
  Report& report = Build(Service(7));
  AddBaseline(Service(3), &report);
  std::ostringstream out;
  WriteJson(reports_, {}, &out);
  const json file = json::parse(out.str());
  EXPECT_EQ(file["baseline"]["difference_bytes"], 4000);
  EXPECT_EQ(file["baseline"]["difference_allocations"], 4);
  EXPECT_EQ(file["baseline"]["gone"], json::array());
  EXPECT_EQ(file["sites"][0]["baseline"]["before_bytes"], 3000);
  EXPECT_EQ(file["sites"][0]["baseline"]["difference_bytes"], 4000);
  EXPECT_EQ(file["sites"][1]["baseline"]["difference_bytes"], 0);
}

}  // namespace
}  // namespace memtrace::tools
