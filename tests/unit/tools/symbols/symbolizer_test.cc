#include "tools/symbols/symbolizer.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

extern "C" {

__attribute__((noinline)) const char* CallerAddress() { return static_cast<const char*>(__builtin_return_address(0)); }

}  // extern "C"

namespace memtrace::tools {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

__attribute__((always_inline)) inline const char* InnerFunction() {
  const char* here = CallerAddress();
  asm volatile("" ::: "memory");
  return here;
}

__attribute__((noinline)) const char* OuterFunction() {
  const char* here = InnerFunction();
  asm volatile("" ::: "memory");
  return here;
}

std::string OwnPath() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

uint64_t OffsetOf(const char* address) {
  Dl_info info{};
  EXPECT_NE(dladdr(address, &info), 0);
  return static_cast<uint64_t>(address - static_cast<const char*>(info.dli_fbase));
}

// A directory with a stripped copy of this program, its debug information by build-id, and both gone afterwards.
class SymbolizerTest : public testing::Test {
 protected:
  SymbolizerTest() : directory_(testing::TempDir() + "/symbols-" + std::to_string(getpid())) {
    std::filesystem::create_directories(directory_);
  }
  ~SymbolizerTest() override { std::filesystem::remove_all(directory_); }

  static void Run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

  // Of this program, as readelf prints it.
  std::string BuildId() {
    const std::string list = directory_ + "/notes";
    Run("readelf -n " + OwnPath() + " 2>/dev/null | sed -n 's/.*Build ID: //p' > " + list);
    std::ifstream file(list);
    std::string id;
    file >> id;
    return id;
  }

  std::string directory_;
  const uint64_t pc_ = OffsetOf(OuterFunction()) - 1;
};

TEST_F(SymbolizerTest, NamesInlinedFramesWithTheirLines) {
  Symbolizer symbolizer({});
  const std::vector<SourceFrame> frames = symbolizer.Resolve(OwnPath(), BuildId(), pc_);
  ASSERT_THAT(frames, SizeIs(2));
  EXPECT_THAT(frames[0].function, StartsWith("memtrace::tools::(anonymous namespace)::InnerFunction"));
  EXPECT_TRUE(frames[0].inlined);
  EXPECT_THAT(frames[1].function, StartsWith("memtrace::tools::(anonymous namespace)::OuterFunction"));
  EXPECT_FALSE(frames[1].inlined);
  EXPECT_THAT(frames[0].file, EndsWith("symbolizer_test.cc"));
  EXPECT_THAT(frames[1].file, EndsWith("symbolizer_test.cc"));
  EXPECT_LT(frames[0].line, frames[1].line);  // the inner one stands above
  EXPECT_THAT(symbolizer.warnings(), IsEmpty());
}

TEST_F(SymbolizerTest, ADeletedFileThatIsThereAgainIsRead) {
  Symbolizer symbolizer({});
  EXPECT_THAT(symbolizer.Resolve(OwnPath() + " (deleted)", BuildId(), pc_), SizeIs(2));
}

TEST_F(SymbolizerTest, AnotherBuildIdGivesAWarningAndNoNames) {
  Symbolizer symbolizer({});
  EXPECT_THAT(symbolizer.Resolve(OwnPath(), "0123456789", pc_), IsEmpty());
  EXPECT_THAT(symbolizer.Resolve(OwnPath(), "0123456789", pc_ + 1), IsEmpty());
  ASSERT_THAT(symbolizer.warnings(), SizeIs(1));
  EXPECT_THAT(symbolizer.warnings()[0], HasSubstr("build-id"));
}

TEST_F(SymbolizerTest, SplitDebugInformationByBuildId) {
  const std::string id = BuildId();
  const std::string debug = directory_ + "/debug/.build-id/" + id.substr(0, 2);
  Run("mkdir -p " + debug + " && objcopy --only-keep-debug " + OwnPath() + " " + debug + "/" + id.substr(2) + ".debug");
  Run("strip -o " + directory_ + "/program " + OwnPath());
  Symbolizer without({});
  EXPECT_THAT(without.Resolve(directory_ + "/program", id, pc_), IsEmpty());
  SymbolOptions options;
  options.debug_dir = directory_ + "/debug";
  Symbolizer with(options);
  EXPECT_THAT(with.Resolve(directory_ + "/program", id, pc_), SizeIs(2));
}

TEST_F(SymbolizerTest, SplitDebugInformationByLink) {
  Run("objcopy --only-keep-debug " + OwnPath() + " " + directory_ + "/program.debug");
  Run("strip --remove-section=.note.gnu.build-id -o " + directory_ + "/program " + OwnPath());
  Run("cd " + directory_ + " && objcopy --add-gnu-debuglink=program.debug program");
  Symbolizer symbolizer({});
  EXPECT_THAT(symbolizer.Resolve(directory_ + "/program", "", pc_), SizeIs(2));
}

TEST_F(SymbolizerTest, SymbolTableWhereThereIsNoDebugInformation) {
  Run("strip --strip-debug -o " + directory_ + "/program " + OwnPath());
  Symbolizer symbolizer({});
  const std::vector<SourceFrame> frames = symbolizer.Resolve(directory_ + "/program", BuildId(), pc_);
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_THAT(frames[0].function, HasSubstr("OuterFunction()"));
  EXPECT_EQ(frames[0].file, "");
}

TEST_F(SymbolizerTest, FilesUnderASysroot) {
  Run("mkdir -p " + directory_ + "/root/opt && cp " + OwnPath() + " " + directory_ + "/root/opt/program");
  SymbolOptions options;
  options.sysroot = directory_ + "/root";
  Symbolizer symbolizer(options);
  EXPECT_THAT(symbolizer.Resolve("/opt/program", BuildId(), pc_), SizeIs(2));
}

TEST_F(SymbolizerTest, WhatIsNoElfGivesAWarning) {
  std::ofstream(directory_ + "/text") << "hello";
  Symbolizer symbolizer({});
  EXPECT_THAT(symbolizer.Resolve(directory_ + "/text", "", 1), IsEmpty());
  EXPECT_THAT(symbolizer.Resolve(directory_ + "/missing", "", 1), IsEmpty());
  EXPECT_THAT(symbolizer.Resolve(directory_, "", 1), IsEmpty());
  EXPECT_THAT(symbolizer.warnings(), SizeIs(3));
}

TEST_F(SymbolizerTest, ATruncatedElfDoesNoHarm) {
  Run("head -c 5000 " + OwnPath() + " > " + directory_ + "/program");
  Symbolizer symbolizer({});
  EXPECT_THAT(symbolizer.Resolve(directory_ + "/program", "", pc_), IsEmpty());
}

TEST_F(SymbolizerTest, ASecondReportTakesNamesFromTheCache) {
  SymbolOptions options;
  options.cache_dir = directory_ + "/cache";
  Run("cp " + OwnPath() + " " + directory_ + "/program");
  const std::string id = BuildId();
  std::vector<SourceFrame> first;
  {
    Symbolizer symbolizer(options);
    first = symbolizer.Resolve(directory_ + "/program", id, pc_);
    EXPECT_THAT(first, SizeIs(2));
    EXPECT_THAT(symbolizer.Resolve(directory_ + "/program", id, uint64_t{1} << 40), IsEmpty());
  }
  const std::string cached = directory_ + "/cache/symbols/" + id + ".symbols";
  ASSERT_TRUE(std::filesystem::exists(cached));
  EXPECT_EQ(Symbolizer(options).Resolve(directory_ + "/program", id, pc_), first);

  // Other debug information: what was cached does not hold any more.
  Run("strip --strip-debug " + directory_ + "/program");
  EXPECT_THAT(Symbolizer(options).Resolve(directory_ + "/program", id, pc_), SizeIs(1));
  // And of the wrong program nothing is taken from the cache.
  Run("strip --remove-section=.note.gnu.build-id " + directory_ + "/program");
  Symbolizer symbolizer(options);
  EXPECT_THAT(symbolizer.Resolve(directory_ + "/program", id, pc_), IsEmpty());
  EXPECT_THAT(symbolizer.warnings(), SizeIs(1));
}

}  // namespace
}  // namespace memtrace::tools
