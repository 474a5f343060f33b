#include "injector/elf_probe.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tests/unit/rt/recorded_tree.h"

namespace memtrace::injector {
namespace {

using ::testing::HasSubstr;

std::string Header(unsigned char word_size, uint16_t machine) {
  Elf64_Ehdr header{};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = word_size;
  header.e_machine = machine;
  return {reinterpret_cast<const char*>(&header), sizeof(header)};
}

constexpr uint16_t kOtherMachine = EM_RISCV;

TEST(ProbeProgram, Dynamic) {
  const Probe probe = ProbeProgram(DYNAMIC_PROGRAM);
  EXPECT_EQ(probe.visibility, Visibility::kVisible);
  EXPECT_THAT(probe.loader, HasSubstr("/ld-linux"));
  EXPECT_EQ(Explain(probe), "");
}

TEST(ProbeProgram, Static) {
  const Probe probe = ProbeProgram(STATIC_PROGRAM);
  EXPECT_EQ(probe.visibility, Visibility::kStatic);
  EXPECT_THAT(Explain(probe), HasSubstr("static_program is statically linked"));
}

TEST(ProbeProgram, ScriptsCountAsTheirInterpreter) {
  RecordedTree tree;
  tree.Write("/dynamic", "#!/bin/sh -e\n").Write("/static", std::string("#! \t") + STATIC_PROGRAM + "\targ\nmore");
  tree.Write("/nested", "#!" + tree.In("/static") + "\n").Write("/self", "#!" + tree.In("/self") + "\n");
  tree.Write("/empty", "#!\n").Write("/missing", "#!/nonexistent/python\n");
  EXPECT_EQ(ProbeProgram(tree.In("/dynamic")).visibility, Visibility::kVisible);
  EXPECT_EQ(ProbeProgram(tree.In("/dynamic")).file, "/bin/sh");
  EXPECT_EQ(ProbeProgram(tree.In("/static")).visibility, Visibility::kStatic);
  EXPECT_EQ(ProbeProgram(tree.In("/static")).file, STATIC_PROGRAM);
  EXPECT_EQ(ProbeProgram(tree.In("/nested")).visibility, Visibility::kStatic);
  EXPECT_EQ(ProbeProgram(tree.In("/self")).visibility, Visibility::kNotElf);
  EXPECT_EQ(ProbeProgram(tree.In("/empty")).visibility, Visibility::kNotElf);
  EXPECT_EQ(ProbeProgram(tree.In("/missing")).visibility, Visibility::kUnreadable);
  EXPECT_EQ(ProbeProgram(tree.In("/missing")).file, "/nonexistent/python");
}

TEST(ProbeProgram, ForeignArchitectures) {
  RecordedTree tree;
  tree.Write("/other", Header(ELFCLASS64, kOtherMachine)).Write("/x86", Header(ELFCLASS32, EM_386));
  tree.Write("/x32", Header(ELFCLASS32, EM_X86_64));
  EXPECT_EQ(ProbeProgram(tree.In("/other")).visibility, Visibility::kForeign);
  EXPECT_THAT(Explain(ProbeProgram(tree.In("/other"))), HasSubstr("RISC-V"));
  EXPECT_THAT(Explain(ProbeProgram(tree.In("/x86"))), HasSubstr("32-bit x86"));
  EXPECT_EQ(ProbeProgram(tree.In("/x32")).visibility, Visibility::kForeign);
}

TEST(ProbeProgram, SetUserId) {
  if (getuid() != 0) GTEST_SKIP() << "needs root to make a program of another user";
  RecordedTree tree;
  std::filesystem::copy_file(DYNAMIC_PROGRAM, tree.In("/su"));
  ASSERT_EQ(chown(tree.In("/su").c_str(), 65534, 65534), 0);
  ASSERT_EQ(chmod(tree.In("/su").c_str(), 04755), 0);
  EXPECT_EQ(ProbeProgram(tree.In("/su")).visibility, Visibility::kPrivileged);
  EXPECT_THAT(Explain(ProbeProgram(tree.In("/su"))), HasSubstr("set-uid"));
  ASSERT_EQ(chmod(tree.In("/su").c_str(), 02755), 0);
  EXPECT_THAT(Explain(ProbeProgram(tree.In("/su"))), HasSubstr("set-gid"));
  // The user's own set-uid program gains nothing.
  ASSERT_EQ(chown(tree.In("/su").c_str(), 0, 0), 0);
  ASSERT_EQ(chmod(tree.In("/su").c_str(), 04755), 0);
  EXPECT_EQ(ProbeProgram(tree.In("/su")).visibility, Visibility::kVisible);
}

TEST(ProbeProgram, DamagedFiles) {
  RecordedTree tree;
  std::string whole;
  {
    std::ifstream file(DYNAMIC_PROGRAM, std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(file), {});
  }
  tree.Write("/empty", "").Write("/text", "hello").Write("/cut", whole.substr(0, 63));
  EXPECT_EQ(ProbeProgram(tree.In("/empty")).visibility, Visibility::kUnreadable);
  EXPECT_EQ(ProbeProgram(tree.In("/none")).visibility, Visibility::kUnreadable);
  EXPECT_EQ(ProbeProgram(tree.root()).visibility, Visibility::kUnreadable);
  EXPECT_EQ(ProbeProgram(tree.In("/text")).visibility, Visibility::kNotElf);
  EXPECT_EQ(ProbeProgram(tree.In("/cut")).visibility, Visibility::kNotElf);
  // Every single flipped byte of the headers: any answer, but an answer.
  for (size_t i = 0; i < 1024; ++i) {
    std::string damaged = whole.substr(0, 4096);
    damaged[i] = static_cast<char>(~damaged[i]);
    tree.Write("/damaged", damaged);
    EXPECT_LT(ProbeProgram(tree.In("/damaged")).loader.size(), 4097u);
  }
}

}  // namespace
}  // namespace memtrace::injector
