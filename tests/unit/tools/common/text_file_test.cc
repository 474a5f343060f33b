#include "tools/common/text_file.h"

#include <gtest/gtest.h>

namespace memtrace::tools {
namespace {

TEST(SuppressionsTest, TemplatesAreThoseOfTheSanitizers) {
  struct Case {
    const char* pattern;
    const char* text;
    bool matches;
  };
  constexpr Case kCases[] = {
      {"cache", "shop::cache_fill(int)", true},
      {"cache", "Cache", false},
      {"^cache", "my_cache", false},
      {"^cache", "cache_fill", true},
      {"fill$", "cache_fill", true},
      {"fill$", "fill_cache", false},
      {"^a*c$", "abc", true},
      {"^a*c$", "abcd", false},
      {"a*b*c", "xxaxxbxxcxx", true},
      {"a*b*c", "acb", false},
      {"*", "", true},
      {"^$", "", true},
      {"^$", "x", false},
      {"^lib*.so$", "libz.so", true},
      {"a*a$", "a", false},
      {"^*end$", "the end", true},
      {"ab$", "abab", true},
      {"", "anything", true},
  };
  for (const Case& c : kCases) EXPECT_EQ(MatchesTemplate(c.pattern, c.text), c.matches) << c.pattern << " " << c.text;
}

TEST(EntriesTest, LinesThatSaySomething) {
  const std::vector<Entry> entries = Entries("# comment\n\n  first \r\n\tsecond line");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].text, "first");
  EXPECT_EQ(entries[0].line, 3u);
  EXPECT_EQ(entries[1].text, "second line");
}

TEST(ReadTextFileTest, WhatCannotBeRead) {
  EXPECT_EQ(ReadTextFile("/nonexistent/file", "helpers").error().Text(),
            "cannot read the helpers /nonexistent/file: No such file or directory");
  EXPECT_EQ(ReadTextFile("/", "helpers").error().Text(), "cannot read the helpers /: Is a directory");
}

TEST(UserDirectoryTest, OnlyAbsolutePaths) {
  setenv("MEMTRACE_TEST_DIRECTORY", "relative", 1);
  setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(UserDirectory("MEMTRACE_TEST_DIRECTORY", ".config"), "/home/someone/.config");
  setenv("MEMTRACE_TEST_DIRECTORY", "/etc/someone", 1);
  EXPECT_EQ(UserDirectory("MEMTRACE_TEST_DIRECTORY", ".config"), "/etc/someone");
  unsetenv("MEMTRACE_TEST_DIRECTORY");
  setenv("HOME", "", 1);
  EXPECT_EQ(UserDirectory("MEMTRACE_TEST_DIRECTORY", ".config"), "");
}

}  // namespace
}  // namespace memtrace::tools
