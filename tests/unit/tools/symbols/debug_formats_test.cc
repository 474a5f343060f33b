// Every way in which compilers and distributions store debug information, made by their own tools.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "tools/symbols/debuginfod.h"
#include "tools/symbols/elf_file.h"
#include "tools/symbols/symbolizer.h"

namespace memtrace::tools {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// An address inside of Inner, which is inlined in Outer, gets a symbol of its own.
constexpr char kSource[] = R"(
static inline __attribute__((always_inline)) int Inner(int x) {
  __asm__ volatile(".globl marker\nmarker: nop");
  return x * 3;
}
__attribute__((noinline)) int Outer(int x) {
  x += 1;
  return Inner(x) + 1;
}
int main(int argc, char** argv) { return argv == 0 ? 1 : Outer(argc); }
)";
constexpr int kInnerLine = 3;
constexpr int kCallLine = 8;

class DebugFormatsTest : public testing::Test {
 protected:
  DebugFormatsTest() : directory_(testing::TempDir() + "/formats-" + std::to_string(getpid())) {
    std::filesystem::create_directories(directory_);
    std::ofstream(directory_ + "/source.c") << kSource;
  }
  ~DebugFormatsTest() override { std::filesystem::remove_all(directory_); }

  // A shell command, run in the directory; what it printed.
  std::string Run(const std::string& command) {
    const std::string out = directory_ + "/out";
    EXPECT_EQ(std::system(("cd " + directory_ + " && (" + command + ") > out 2>&1").c_str()), 0) << command;
    std::ifstream file(out);
    std::string text;
    std::getline(file, text);
    return text;
  }
  void Build(const std::string& compiler, const std::string& program = "program") {
    Run(compiler + " -O2 -Wl,--build-id source.c -o " + program);
    marker_ = std::stoull(Run("nm " + program + " | sed -n 's/ T marker//p'"), nullptr, 16);
    build_id_ = ElfFile::Open(Path(program))->build_id();
    ASSERT_THAT(build_id_, SizeIs(40));
  }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  // Where a debug file of that build-id is looked for, in `tree`; the folders are made.
  std::string PlaceById(const std::string& tree, const std::string& build_id) const {
    const std::string folder = tree + "/.build-id/" + build_id.substr(0, 2);
    std::filesystem::create_directories(Path(folder));
    return folder + "/" + build_id.substr(2) + ".debug";
  }

  std::vector<SourceFrame> Resolve(SymbolOptions options = {}, const std::string& program = "program") {
    Symbolizer symbolizer(options);
    const std::vector<SourceFrame> frames = symbolizer.Resolve(Path(program), build_id_, marker_);
    warnings_ = symbolizer.warnings();
    return frames;
  }
  static SymbolOptions WithDebugDirectory(const std::string& path) {
    SymbolOptions options;
    options.debug_dir = path;
    return options;
  }
  void ExpectBothFrames(const std::vector<SourceFrame>& frames) {
    ASSERT_THAT(frames, SizeIs(2));
    EXPECT_EQ(frames[0].function, "Inner");
    EXPECT_EQ(frames[0].line, kInnerLine);
    EXPECT_TRUE(frames[0].inlined);
    EXPECT_EQ(frames[1].function, "Outer");
    EXPECT_EQ(frames[1].line, kCallLine);
    EXPECT_FALSE(frames[1].inlined);
    for (const SourceFrame& frame : frames) EXPECT_THAT(frame.file, EndsWith("source.c"));
    EXPECT_THAT(warnings_, IsEmpty());
  }
  void ExpectOnlyTheSymbol(const std::vector<SourceFrame>& frames) {
    ASSERT_THAT(frames, SizeIs(1));
    EXPECT_EQ(frames[0].function, "Outer");
    EXPECT_FALSE(frames[0].inlined);
  }

  // Whatever is in a package, the program's own symbols remain.
  void DamagePackage() {
    std::ifstream file(Path("program.dwp"), std::ios::binary);
    const std::string whole{std::istreambuf_iterator<char>(file), {}};
    for (size_t at = 0; at < whole.size(); at += 23) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x81);
      std::ofstream(Path("program.dwp"), std::ios::binary) << damaged;
      const std::vector<SourceFrame> frames = Resolve();
      ASSERT_FALSE(frames.empty());
      EXPECT_NE(frames.back().function, "");
    }
    std::filesystem::remove(Path("program.dwp"));
    ExpectOnlyTheSymbol(Resolve());
  }

  std::string directory_;
  std::string build_id_;
  uint64_t marker_ = 0;
  std::vector<std::string> warnings_;
};

TEST_F(DebugFormatsTest, InTheFile) {
  for (const char* compiler :
       {"gcc -g", "gcc -gdwarf-4", "gcc -gz -g", "clang -g", "clang -gdwarf-4", "clang -gline-tables-only"}) {
    SCOPED_TRACE(compiler);
    Build(compiler);
    ExpectBothFrames(Resolve());
  }
}

TEST_F(DebugFormatsTest, SplitIntoObjects) {
  for (const char* compiler :
       {"gcc -g -gsplit-dwarf", "gcc -gdwarf-4 -gsplit-dwarf", "clang -gdwarf-5 -gsplit-dwarf -fsplit-dwarf-inlining",
        "clang -gdwarf-4 -gsplit-dwarf -fno-split-dwarf-inlining"}) {
    SCOPED_TRACE(compiler);
    Build(compiler);
    ASSERT_NE(Run("ls *.dwo"), "");
    ExpectBothFrames(Resolve());
    Run("rm *.dwo");
  }
}

TEST_F(DebugFormatsTest, AMissingObjectFileIsSaid) {
  Build("gcc -g -gsplit-dwarf");
  Run("rm *.dwo");
  const std::vector<SourceFrame> frames = Resolve();
  ExpectOnlyTheSymbol(frames);
  EXPECT_EQ(frames[0].line, kInnerLine);  // the skeleton has the lines
  ASSERT_THAT(warnings_, SizeIs(1));
  EXPECT_THAT(warnings_[0], HasSubstr(".dwo"));
}

TEST_F(DebugFormatsTest, SplitAndPacked) {
  // Debian 12's dwp ends with SIGSEGV on DWARF 5, llvm-dwp does not end on GCC's.
  std::vector<std::pair<const char*, const char*>> ways = {{"gcc -gdwarf-4", "dwp"}, {"clang -gdwarf-4", "dwp"}};
  const bool llvm = std::system("command -v llvm-dwp-14 > /dev/null") == 0;
  if (llvm) ways.emplace_back("clang -gdwarf-5", "llvm-dwp-14");
  std::ofstream(Path("other.c")) << "int Other(int y) { return y / 3; }\n";
  for (const auto& [compiler, packer] : ways) {
    SCOPED_TRACE(compiler);
    Build(std::string(compiler) + " -gsplit-dwarf other.c");
    Run(std::string(packer) + " -e program -o program.dwp && rm *.dwo");
    ExpectBothFrames(Resolve());
    DamagePackage();
  }
  if (!llvm) GTEST_SKIP() << "packages of DWARF 5: llvm-dwp-14 is not installed";
}

TEST_F(DebugFormatsTest, SeparateByBuildId) {
  Build("gcc -g");
  Run("objcopy --only-keep-debug --compress-debug-sections program " + PlaceById("tree", build_id_) +
      " && strip program");
  EXPECT_THAT(Resolve(), IsEmpty());
  ExpectBothFrames(Resolve(WithDebugDirectory(Path("tree"))));
}

TEST_F(DebugFormatsTest, ADebugFileOfAnotherBuildIsNotTaken) {
  Build("gcc -g -DOTHER -O1", "other");
  Build("gcc -g");
  Run("strip --strip-debug program && cp other " + PlaceById("tree", build_id_));
  ExpectOnlyTheSymbol(Resolve(WithDebugDirectory(Path("tree"))));
}

TEST_F(DebugFormatsTest, LinkedByName) {
  Build("gcc -g -DOTHER -O1", "other");
  Build("gcc -g");
  Run("objcopy --remove-section=.note.gnu.build-id program && objcopy --only-keep-debug program program.debug && "
      "strip --strip-debug program && objcopy --add-gnu-debuglink=program.debug program");
  build_id_.clear();
  ExpectBothFrames(Resolve());
  Run("mkdir .debug && mv program.debug .debug/");
  ExpectBothFrames(Resolve());
  Run("mkdir -p tree$PWD && mv .debug/program.debug tree$PWD/");
  ExpectBothFrames(Resolve(WithDebugDirectory(Path("tree"))));

  Run("cp other program.debug");  // with a checksum that does not fit
  ExpectOnlyTheSymbol(Resolve());
  ASSERT_THAT(warnings_, SizeIs(1));
  EXPECT_THAT(warnings_[0], HasSubstr("checksum"));
}

TEST_F(DebugFormatsTest, SharedByDwz) {
  Build("gcc -g", "first");
  Build("gcc -g");
  Run("dwz -m shared.debug first program");
  ASSERT_THAT(Run("readelf -SW program | grep -c gnu_debugaltlink"), "1");
  ExpectBothFrames(Resolve());

  Run("mv shared.debug " + PlaceById("tree", ElfFile::Open(Path("shared.debug"))->build_id()));
  ExpectBothFrames(Resolve(WithDebugDirectory(Path("tree"))));
  Resolve();
  ASSERT_THAT(warnings_, SizeIs(1));
  EXPECT_THAT(warnings_[0], HasSubstr("shared.debug"));
}

TEST_F(DebugFormatsTest, TheBinaryItselfByBuildId) {
  Build("gcc -g");
  std::string place = PlaceById("tree", build_id_);
  place.resize(place.rfind('.'));
  Run("mv program " + place);
  ExpectBothFrames(Resolve(WithDebugDirectory(Path("tree"))));
  EXPECT_THAT(Resolve(), IsEmpty());
  EXPECT_THAT(warnings_, SizeIs(1));
}

TEST_F(DebugFormatsTest, ADebugFileInPlaceOfALostBinary) {
  Build("gcc -g");
  Run("objcopy --only-keep-debug program " + PlaceById("tree", build_id_) + " && rm program");
  ExpectBothFrames(Resolve(WithDebugDirectory(Path("tree"))));
}

TEST_F(DebugFormatsTest, FromAServer) {
  Build("gcc -g");
  Run("mkdir -p server/buildid/" + build_id_ + " && objcopy --only-keep-debug program server/buildid/" + build_id_ +
      "/debuginfo && strip program");
  setenv("DEBUGINFOD_CACHE_PATH", Path("fetched").c_str(), 1);
  setenv("DEBUGINFOD_URLS", ("file://" + Path("server")).c_str(), 1);
  SymbolOptions options;
  EXPECT_THAT(Resolve(options), IsEmpty());  // it must be asked for
  EXPECT_FALSE(std::filesystem::exists(Path("fetched")));
  options.debuginfod = true;
  ExpectBothFrames(Resolve(options));
  unsetenv("DEBUGINFOD_URLS");
  unsetenv("DEBUGINFOD_CACHE_PATH");
}

TEST_F(DebugFormatsTest, AServerThatKeepsSilentIsGivenUp) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 4), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  setenv("DEBUGINFOD_CACHE_PATH", Path("fetched").c_str(), 1);
  setenv("DEBUGINFOD_URLS", ("http://127.0.0.1:" + std::to_string(ntohs(address.sin_port))).c_str(), 1);
  Debuginfod servers(true, std::chrono::milliseconds(200));
  EXPECT_EQ(servers.FindDebugFile("0123456789abcdef0123456789abcdef01234567"), "");
  EXPECT_EQ(servers.FindDebugFile("1123456789abcdef0123456789abcdef01234567"), "");  // not asked again
  ASSERT_THAT(servers.warnings(), SizeIs(1));
  EXPECT_THAT(servers.warnings()[0], HasSubstr("no answer in time"));
  unsetenv("DEBUGINFOD_URLS");
  unsetenv("DEBUGINFOD_CACHE_PATH");
  close(listener);
}

}  // namespace
}  // namespace memtrace::tools
