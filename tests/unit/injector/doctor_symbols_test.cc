#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "injector/doctor/symbols.h"
#include "tests/unit/rt/recorded_tree.h"

namespace memtrace::injector {
namespace {

using ::testing::Contains;
using ::testing::StartsWith;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ReadProgramSymbols, DynamicProgramNeedsItsLibc) {
  const ProgramSymbols symbols = ReadProgramSymbols(DYNAMIC_PROGRAM);
  EXPECT_TRUE(symbols.readable);
  EXPECT_FALSE(symbols.exports_malloc);
  EXPECT_FALSE(symbols.is_go);
  EXPECT_THAT(symbols.needed, Contains(StartsWith("libc.so")));
}

TEST(ReadProgramSymbols, StaticProgramHasAnAllocatorInside) {
  const ProgramSymbols symbols = ReadProgramSymbols(STATIC_PROGRAM);
  EXPECT_FALSE(symbols.exports_malloc);
  EXPECT_EQ(symbols.hidden_allocator, "malloc");
}

TEST(ReadProgramSymbols, LibraryExportsMalloc) { EXPECT_TRUE(ReadProgramSymbols(MEMTRACE_LIBRARY).exports_malloc); }

TEST(ReadProgramSymbols, WhatIsNoProgramIsNotReadable) {
  RecordedTree tree;
  tree.Write("/empty", "").Write("/text", "#!/bin/sh\n").Write("/magic", "\177ELF");
  for (const char* name : {"/empty", "/text", "/magic", "/nothing"}) {
    EXPECT_FALSE(ReadProgramSymbols(tree.In(name)).readable) << name;
  }
}

// Headers that lie: nothing is read outside of the file, and it ends.
TEST(ReadProgramSymbols, DamagedPrograms) {
  const std::string whole = ReadAll(DYNAMIC_PROGRAM);
  Elf64_Ehdr header;
  ASSERT_GE(whole.size(), sizeof(header));
  memcpy(&header, whole.data(), sizeof(header));
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = whole;
    for (int i = 0; i < 8; ++i) {
      const bool in_sections = random() % 2 == 0 && header.e_shoff < damaged.size();
      const size_t begin = in_sections ? header.e_shoff : 0;
      const size_t size = in_sections ? damaged.size() - begin : sizeof(header);
      damaged[begin + random() % size] = static_cast<char>(random());
    }
    if (round % 5 == 0) damaged.resize(random() % damaged.size());
    RecordedTree tree;
    tree.Write("/damaged", damaged);
    ReadProgramSymbols(tree.In("/damaged"));
  }
}

}  // namespace
}  // namespace memtrace::injector
