#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "injector/collect/elf_file.h"
#include "injector/collect/named_modules.h"
#include "injector/collect/tar_stream.h"
#include "injector/container_root.h"

namespace memtrace::injector {
namespace {

namespace fs = std::filesystem;

class CollectTest : public testing::Test {
 protected:
  CollectTest() {
    std::string pattern = testing::TempDir() + "/collect-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~CollectTest() override { fs::remove_all(directory_); }

  std::string Content(const std::string& name) const {
    std::ifstream file(directory_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string directory_;
};

TEST_F(CollectTest, TakesRegularFilesOutOfAnArchive) {
  const std::string script =
      "cd " + directory_ +
      " && mkdir -p in/deep && printf one > in/a.rec && printf two > in/deep/b.rec && ln -s /etc/passwd in/c.rec && "
      "printf long > in/" +
      std::string(150, 'n') + " && tar -cf - --format=pax in";
  std::map<std::string, int> seen;
  EXPECT_TRUE(ReadTar({"/bin/sh", "-c", script}, 1000, [&](const std::string& name) {
    ++seen[name];
    return name == "in/a.rec" ? directory_ + "/out" : "";
  }));
  EXPECT_EQ(seen.count("in/a.rec"), 1u);
  EXPECT_EQ(seen.count("in/deep/b.rec"), 1u);
  EXPECT_EQ(seen.count("in/c.rec"), 0u);
  EXPECT_EQ(seen.count("in/" + std::string(150, 'n')), 1u);
  EXPECT_EQ(Content("out"), "one");
}

TEST_F(CollectTest, AnArchiveIsBounded) {
  const std::string script =
      "cd " + directory_ + " && head -c 5000 /dev/zero > big && printf x > small && tar -cf - big small";
  int asked = 0;
  EXPECT_TRUE(ReadTar({"/bin/sh", "-c", script}, 1000, [&](const std::string& name) {
    ++asked;
    return directory_ + "/out-" + name;
  }));
  EXPECT_EQ(asked, 1);
  EXPECT_FALSE(fs::exists(directory_ + "/out-big"));
  EXPECT_EQ(Content("out-small"), "x");
}

TEST_F(CollectTest, WhatIsNoArchiveIsRefused) {
  const auto nowhere = [](const std::string&) { return std::string(); };
  EXPECT_FALSE(ReadTar({"/bin/sh", "-c", "exit 1"}, 1000, nowhere));
  EXPECT_FALSE(ReadTar({"/nonexistent"}, 1000, nowhere));
  EXPECT_FALSE(ReadTar({"/bin/sh", "-c", "head -c 100000 /dev/urandom; exit 1"}, 1000, nowhere));
  std::string output;
  EXPECT_TRUE(ReadOutput({"/bin/sh", "-c", "printf abcdef"}, 3, &output));
  EXPECT_EQ(output, "abc");
}

TEST_F(CollectTest, FactsOfBinaries) {
  const Descriptor self(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  const ElfFacts facts = ReadElfFacts(self.get());
  EXPECT_EQ(facts.build_id.size(), 40u);
  EXPECT_EQ(facts.debug_link, "");
  std::ofstream(directory_ + "/torn", std::ios::binary) << "\x7f"
                                                           "ELF\2\1\1"
                                                        << std::string(57, '\xff');
  const Descriptor torn(open((directory_ + "/torn").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(ReadElfFacts(torn.get()).build_id, "");
  EXPECT_EQ(ReadElfFacts(-1).build_id, "");
}

TEST_F(CollectTest, ARecordingOfNothingNamesNothing) {
  std::ofstream(directory_ + "/a.rec") << "MEMTRACE and what follows is cut";
  std::map<std::string, std::string> modules;
  EXPECT_FALSE(AddNamedModules(directory_ + "/a.rec", &modules));
  EXPECT_FALSE(AddNamedModules(directory_ + "/missing.rec", &modules));
  EXPECT_TRUE(modules.empty());
}

}  // namespace
}  // namespace memtrace::injector
