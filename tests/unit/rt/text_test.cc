#include "libmemtrace/rt/text.h"

#include <gtest/gtest.h>

#include <string>

namespace memtrace::rt {
namespace {

std::string Str(Text text) { return {text.data, text.size}; }

TEST(Text, PartsAndComparison) {
  const Text text("abcdef");
  EXPECT_EQ(Str(text.From(2)), "cdef");
  EXPECT_EQ(Str(text.From(9)), "");
  EXPECT_EQ(Str(text.First(2)), "ab");
  EXPECT_EQ(Str(text.First(9)), "abcdef");
  EXPECT_TRUE(StartsWith(text, "abc"));
  EXPECT_FALSE(StartsWith("ab", "abc"));
  EXPECT_TRUE(EndsWith(text, "ef"));
  EXPECT_FALSE(EndsWith("f", "ef"));
  EXPECT_TRUE(Text("a") == Text("a"));
  EXPECT_FALSE(Text("a") == Text("ab"));
  EXPECT_TRUE(EqualIgnoringCase("aB1", "Ab1"));
  EXPECT_FALSE(EqualIgnoringCase("a@", "a`"));
}

TEST(Text, Find) {
  EXPECT_EQ(Find("a/b/c", '/'), 1u);
  EXPECT_EQ(FindLast("a/b/c", '/'), 3u);
  EXPECT_EQ(Find("abc", '/'), kNotFound);
  EXPECT_EQ(FindLast("", '/'), kNotFound);
}

TEST(Text, Splitting) {
  Text rest("4:cpu,memory:/a:b");
  EXPECT_EQ(Str(NextPart(&rest, ':')), "4");
  EXPECT_EQ(Str(NextPart(&rest, ':')), "cpu,memory");
  EXPECT_EQ(Str(rest), "/a:b");
  rest = "  one\ttwo  ";
  EXPECT_EQ(Str(NextWord(&rest)), "one");
  EXPECT_EQ(Str(NextWord(&rest)), "two");
  EXPECT_EQ(Str(NextWord(&rest)), "");
  EXPECT_EQ(Str(Trim(" \t x y\r\n")), "x y");
  EXPECT_EQ(Str(Trim("  ")), "");
}

TEST(ParseUint, WholeTextOnly) {
  uint64_t value = 7;
  EXPECT_TRUE(ParseUint("18446744073709551615", &value));
  EXPECT_EQ(value, ~uint64_t{0});
  EXPECT_TRUE(ParseUint("fF", &value, 16));
  EXPECT_EQ(value, 255u);
  EXPECT_TRUE(ParseUint("040", &value, 8));
  EXPECT_EQ(value, 32u);
  value = 7;
  for (const char* text : {"", "18446744073709551616", "99999999999999999999", "1x", " 1", "-1", "+1", "8a"}) {
    EXPECT_FALSE(ParseUint(text, &value)) << text;
  }
  EXPECT_FALSE(ParseUint("8", &value, 8));
  EXPECT_EQ(value, 7u);
}

TEST(ParseSize, UnitsArePowersOf1024) {
  const struct {
    const char* text;
    uint64_t bytes;
  } kCases[] = {{"0", 0},
                {"512", 512},
                {"1k", 1024},
                {"1KiB", 1024},
                {"1kb", 1024},
                {"2Mi", 2 << 20},
                {"1.5 MiB", 3 << 19},
                {"1.5 k", 1536},
                {" 8GiB ", uint64_t{8} << 30},
                {"1T", uint64_t{1} << 40},
                {"12B", 12},
                {"0.123456789k", 126}};
  for (const auto& expected : kCases) {
    uint64_t bytes = 77;
    EXPECT_TRUE(ParseSize(expected.text, &bytes)) << expected.text;
    EXPECT_EQ(bytes, expected.bytes) << expected.text;
  }
}

TEST(ParseSize, Refused) {
  uint64_t bytes = 77;
  for (const char* text : {"", "k", "-1", "1.", "1.k", ".5k", "1 k k", "1e6", "1PiB", "16777216T", "1kk", "0x10",
                           "99999999999999999999"}) {
    EXPECT_FALSE(ParseSize(text, &bytes)) << text;
  }
  EXPECT_EQ(bytes, 77u);
}

TEST(MatchGlob, StarsAndQuestionMarks) {
  EXPECT_TRUE(MatchGlob("*", ""));
  EXPECT_TRUE(MatchGlob("redis-*", "redis-server"));
  EXPECT_TRUE(MatchGlob("*a*b*", "xxaxxbxx"));
  EXPECT_TRUE(MatchGlob("p?thon*", "python3.11"));
  EXPECT_TRUE(MatchGlob("a*ab", "aaab"));
  EXPECT_FALSE(MatchGlob("redis", "redis-server"));
  EXPECT_FALSE(MatchGlob("?", ""));
  EXPECT_FALSE(MatchGlob("", "a"));
  EXPECT_FALSE(MatchGlob("*x", "xa"));
}

TEST(TextBuilder, CutsAndTells) {
  char buffer[6];
  TextBuilder builder(buffer, sizeof(buffer));
  builder.Add("abc").Add('d');
  EXPECT_FALSE(builder.truncated());
  builder.Add("efg");
  EXPECT_TRUE(builder.truncated());
  EXPECT_STREQ(builder.c_str(), "abcde");
  builder.Clear();
  EXPECT_FALSE(builder.truncated());
  EXPECT_STREQ(builder.c_str(), "");
}

TEST(TextBuilder, Numbers) {
  TextBuffer<128> builder;
  builder.AddUint(0).Add(' ').AddUint(~uint64_t{0}).Add(' ').AddUint(255, 16).Add(' ').AddUint(7, 10, 3);
  EXPECT_STREQ(builder.c_str(), "0 18446744073709551615 ff 007");
}

TEST(TextBuilder, Sizes) {
  TextBuffer<128> builder;
  builder.AddSize(1023).Add(' ').AddSize(1024).Add(' ').AddSize(3 << 19).Add(' ').AddSize(uint64_t{5} << 40);
  EXPECT_STREQ(builder.c_str(), "1023 B 1.0 KiB 1.5 MiB 5.0 TiB");
}

TEST(TextBuilder, Stamps) {
  TextBuffer<128> builder;
  builder.AddStamp(0).Add(' ').AddStamp(951782400).Add(' ').AddStamp(1795353300);
  EXPECT_STREQ(builder.c_str(), "19700101T000000Z 20000229T000000Z 20261122T131500Z");
}

}  // namespace
}  // namespace memtrace::rt
