#include "tools/symbols/perf_map.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/tools/recording_builder.h"
#include "tools/symbols/frames.h"

namespace memtrace::tools {
namespace {

std::string FunctionAt(const PerfMap& map, uint64_t address) {
  const SourceFrame* frame = map.Find(address);
  return frame != nullptr ? frame->function : "-";
}

TEST(PerfMapTest, RangesAndNames) {
  const PerfMap map("1000 20 first\n1020 10 second one\r\n0x2000 0x8 third");
  EXPECT_EQ(FunctionAt(map, 0xfff), "-");
  EXPECT_EQ(FunctionAt(map, 0x1000), "first");
  EXPECT_EQ(FunctionAt(map, 0x101f), "first");
  EXPECT_EQ(FunctionAt(map, 0x1020), "second one");
  EXPECT_EQ(FunctionAt(map, 0x1030), "-");
  EXPECT_EQ(FunctionAt(map, 0x2007), "third");
}

TEST(PerfMapTest, CodeThatCameLaterReplacesWhatItCovers) {
  const PerfMap map("1000 100 old\n2000 10 kept\n1010 10 new\n1f00 80 other\n1018 4 newest\n");
  EXPECT_EQ(FunctionAt(map, 0x1000), "-");  // the old function is gone as a whole
  EXPECT_EQ(FunctionAt(map, 0x1019), "newest");
  EXPECT_EQ(FunctionAt(map, 0x1011), "-");
  EXPECT_EQ(FunctionAt(map, 0x1f7f), "other");
  EXPECT_EQ(FunctionAt(map, 0x2000), "kept");
}

TEST(PerfMapTest, PlacesInsideOfNames) {
  const PerfMap map(
      "1000 10 JS:*handle /srv/my app.js:12:3\n2000 10 py::handle:/srv/app.py\n3000 10 Builtin:ArrayMap\n"
      "4000 10 void demo.Main.run(int)\n5000 10 JS:~get size node:net:5:1\n"
      "6000 10 JS:^ /srv/app.js:3:9\n7000 10 LazyCompile:~\n");
  EXPECT_EQ(*map.Find(0x1000), (SourceFrame{"handle", "/srv/my app.js", 12, false}));
  EXPECT_EQ(*map.Find(0x2000), (SourceFrame{"py::handle", "/srv/app.py", 0, false}));
  EXPECT_EQ(*map.Find(0x3000), (SourceFrame{"Builtin:ArrayMap", "", 0, false}));
  EXPECT_EQ(*map.Find(0x4000), (SourceFrame{"void demo.Main.run(int)", "", 0, false}));
  EXPECT_EQ(*map.Find(0x5000), (SourceFrame{"get size", "node:net", 5, false}));
  EXPECT_EQ(*map.Find(0x6000), (SourceFrame{"(anonymous)", "/srv/app.js", 3, false}));
  EXPECT_EQ(*map.Find(0x7000), (SourceFrame{"(anonymous)", "", 0, false}));
}

TEST(PerfMapTest, WhatIsNoMapIsPassedOver) {
  const PerfMap map(
      "hello\n\n1000\n1000 \n1000 zz name\n1000 10\n1000 0 empty\nffffffffffffffff 10 wraps\n-1 10 negative\n"
      "11111111111111111 10 too long\n5000 10 good\n");
  EXPECT_EQ(FunctionAt(map, 0x1000), "-");
  EXPECT_EQ(FunctionAt(map, 0xffffffffffffffff), "-");
  EXPECT_EQ(FunctionAt(map, 0x5000), "good");
}

class PerfMapOfTest : public testing::Test {
 protected:
  PerfMapOfTest() : directory_(testing::TempDir() + "/perf-map-" + std::to_string(getpid())) {
    std::filesystem::create_directories(directory_);
  }
  ~PerfMapOfTest() override { std::filesystem::remove_all(directory_); }

  void WriteMap(const std::string& name, uint64_t changed_ns, const char* content) const {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path) << content;
    const timespec time{static_cast<time_t>(changed_ns / 1000000000), 0};
    const timespec times[] = {time, time};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }

  std::string directory_;
  RecordingBuilder builder_;
};

TEST_F(PerfMapOfTest, OnlyAFileFromTheProcesssOwnTime) {
  builder_.header().process_start_ns = RecordingBuilder::kStartNs;
  builder_.header().end_ns = RecordingBuilder::kStartNs + 60'000'000'000;
  const Profile profile = builder_.Decode();
  const auto found = [&] { return FunctionAt(PerfMap::Of(profile, directory_), 0x1000); };
  EXPECT_EQ(found(), "-");
  WriteMap("perf-4242.map", RecordingBuilder::kStartNs + 30'000'000'000, "1000 10 f\n");
  EXPECT_EQ(found(), "f");
  WriteMap("perf-4242.map", RecordingBuilder::kStartNs - 10'000'000'000, "1000 10 f\n");
  EXPECT_EQ(found(), "-");
  WriteMap("perf-4242.map", RecordingBuilder::kStartNs + 90'000'000'000, "1000 10 f\n");
  EXPECT_EQ(found(), "-");
}

TEST_F(PerfMapOfTest, WhatLiesBesideTheRecordingAndWhatTheSnapshotCarries) {
  Profile profile = builder_.Decode();
  profile.file_name = directory_ + "/a.rec";
  WriteMap("a.rec.perf-map", RecordingBuilder::kStartNs, "1000 10 beside\n");
  EXPECT_EQ(FunctionAt(PerfMap::Of(profile, directory_), 0x1000), "beside");
  profile.blobs.push_back({format::BlobKind::kProcFile, "perf.map", "1000 10 carried\n"});
  EXPECT_EQ(FunctionAt(PerfMap::Of(profile, directory_), 0x1000), "carried");
}

TEST_F(PerfMapOfTest, NamesFramesInMemoryWithoutAFile) {
  const uint16_t code = builder_.AddModule("", "", 0);
  const uint32_t known = builder_.AddStack({0x7000, 0x5004}, code);
  builder_.AddBlob(format::BlobKind::kProcFile, "perf.map", "5000 10 JS:~handle app.js:7:1\n");
  const Profile profile = builder_.Decode();
  Symbolizer symbolizer({});
  FrameTable frames(profile, &symbolizer);
  const std::vector<uint32_t> stack = frames.Stack(known);
  ASSERT_EQ(stack.size(), 2u);
  EXPECT_EQ(FrameName(frames.frame(stack[0])), "handle");
  EXPECT_EQ(FramePlace(frames.frame(stack[0])), " (app.js:7)");
  EXPECT_EQ(FrameName(frames.frame(stack[1])), "[anonymous memory]");
}

}  // namespace
}  // namespace memtrace::tools
