#include "tools/symbols/symbol_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace memtrace::tools {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Optional;

constexpr char kBuildId[] = "0123456789abcdef0123456789abcdef01234567";

std::vector<SourceFrame> Frames() {
  return {{"Inner(int)", "/src/a.h", 12, true}, {"Outer(int)", "/src/a.cc", 70, false}};
}

class SymbolCacheTest : public testing::Test {
 protected:
  SymbolCacheTest() : directory_(testing::TempDir() + "/cache-" + std::to_string(getpid())) {
    fs::remove_all(directory_);
  }
  ~SymbolCacheTest() override { fs::remove_all(directory_); }

  SymbolCache Open(std::string_view fingerprint = "print") const { return {directory_, kBuildId, fingerprint}; }
  std::string File() const { return directory_ + "/symbols/" + kBuildId + ".symbols"; }
  std::string Content() const {
    std::ifstream file(File(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Overwrite(const std::string& content) const { std::ofstream(File(), std::ios::binary) << content; }
  void Fill() const {
    SymbolCache cache = Open();
    cache.Add(0x2000, Frames());
    cache.Add(0x1000, {});
    cache.Save();
  }

  std::string directory_;
};

TEST_F(SymbolCacheTest, KeepsNamesAndThatThereAreNone) {
  Fill();
  SymbolCache cache = Open();
  EXPECT_THAT(cache.Find(0x2000), Optional(Frames()));
  EXPECT_THAT(cache.Find(0x1000), Optional(IsEmpty()));
  EXPECT_EQ(cache.Find(0x1001), std::nullopt);
  cache.Add(0x1800, {{"g", "", 0, false}});
  cache.Save();
  const SymbolCache more = Open();
  EXPECT_THAT(more.Find(0x1800), Optional(ElementsAre(SourceFrame{"g", "", 0, false})));
  EXPECT_THAT(more.Find(0x2000), Optional(Frames()));
  EXPECT_EQ(fs::status(File()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(SymbolCacheTest, OtherDebugInformationStartsAnew) {
  Fill();
  EXPECT_EQ(Open("other").Find(0x2000), std::nullopt);
}

TEST_F(SymbolCacheTest, NoFlippedBitIsBelieved) {
  Fill();
  const std::string whole = Content();
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    Overwrite(damaged);
    EXPECT_EQ(Open().Find(0x2000), std::nullopt) << "byte " << i;
  }
  for (size_t size = 0; size < whole.size(); size += 3) {
    Overwrite(whole.substr(0, size));
    EXPECT_EQ(Open().Find(0x2000), std::nullopt) << size << " bytes";
  }
  Fill();
  EXPECT_THAT(Open().Find(0x2000), Optional(Frames()));
}

// Whoever writes to the file can make the checksum fit.
TEST_F(SymbolCacheTest, MaliceIsFoundToo) {
  Fill();
  const std::string whole = Content();
  constexpr size_t kHeaderBytes = 40;
  constexpr size_t kCrcAt = 12;
  for (size_t at = kHeaderBytes; at + 4 <= whole.size(); at += 4) {
    std::string forged = whole;
    std::memset(&forged[at], 0xff, 4);
    const auto crc = static_cast<uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(&forged[kHeaderBytes]), forged.size() - kHeaderBytes));
    std::memcpy(&forged[kCrcAt], &crc, sizeof(crc));
    Overwrite(forged);
    const SymbolCache cache = Open();
    for (const uint64_t offset : {0x1000, 0x2000}) {
      const auto frames = cache.Find(offset);
      if (!frames) continue;
      for (const SourceFrame& frame : *frames) EXPECT_LE(frame.function.size() + frame.file.size(), whole.size());
    }
  }
}

TEST_F(SymbolCacheTest, ALinkInPlaceOfTheFileIsReplacedNotFollowed) {
  Fill();
  fs::rename(File(), directory_ + "/elsewhere");
  fs::create_symlink(directory_ + "/elsewhere", File());
  EXPECT_EQ(Open().Find(0x2000), std::nullopt);
  Fill();
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(File())));
}

TEST_F(SymbolCacheTest, WhatCannotBeWrittenIsNot) {
  std::ofstream(directory_) << "a file where the directory should be";
  Fill();
  EXPECT_EQ(Open().Find(0x2000), std::nullopt);
  SymbolCache none("", kBuildId, "print");
  none.Add(1, Frames());
  none.Save();
  EXPECT_EQ(none.Find(1), std::nullopt);
}

TEST_F(SymbolCacheTest, WhatWasNotUsedForLongestGivesWay) {
  Fill();
  const auto make = [this](const std::string& name, int hours_ago) {
    const std::string path = directory_ + "/symbols/" + name;
    std::ofstream(path) << "";
    fs::resize_file(path, SymbolCache::kMostBytes / 4);  // sparse
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(hours_ago));
    return path;
  };
  const std::string oldest = make("aa.symbols", 50);
  const std::string old = make("bb.symbols", 40);
  const std::string young = make("cc.symbols", 2);
  const std::string younger = make("dd.symbols", 1);
  const std::string leftover = make("ee.symbols.77.tmp", 3);
  const std::string foreign = make("notes.txt", 99);
  Fill();
  EXPECT_FALSE(fs::exists(oldest));
  EXPECT_FALSE(fs::exists(old));  // three quarters are left, so that not each report must tidy up
  EXPECT_TRUE(fs::exists(young));
  EXPECT_TRUE(fs::exists(younger));
  EXPECT_FALSE(fs::exists(leftover));
  EXPECT_TRUE(fs::exists(foreign));
  EXPECT_TRUE(fs::exists(File()));
}

TEST(DefaultCacheDirectoryTest, FollowsTheXdgRules) {
  const auto with = [](const char* cache, const char* home) {
    cache != nullptr ? setenv("XDG_CACHE_HOME", cache, 1) : unsetenv("XDG_CACHE_HOME");
    home != nullptr ? setenv("HOME", home, 1) : unsetenv("HOME");
    return DefaultCacheDirectory();
  };
  EXPECT_EQ(with("/var/c", "/home/u"), "/var/c/memtrace");
  EXPECT_EQ(with("relative", "/home/u"), "/home/u/.cache/memtrace");
  EXPECT_EQ(with("", "/home/u"), "/home/u/.cache/memtrace");
  EXPECT_EQ(with(nullptr, nullptr), "");
}

}  // namespace
}  // namespace memtrace::tools
