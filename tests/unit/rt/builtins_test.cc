// builtins.cc under other names: here, its functions would be those of the test program too.
#include <gtest/gtest.h>

#include <string>

#define memcpy BuiltinMemcpy           // NOLINT(cppcoreguidelines-macro-usage)
#define memmove BuiltinMemmove         // NOLINT(cppcoreguidelines-macro-usage)
#define memset BuiltinMemset           // NOLINT(cppcoreguidelines-macro-usage)
#define memcmp BuiltinMemcmp           // NOLINT(cppcoreguidelines-macro-usage)
#include "libmemtrace/rt/builtins.cc"  // NOLINT(bugprone-suspicious-include)

namespace {

TEST(Builtins, CopiesWhatIsAskedForAndNoMore) {
  for (const size_t size : {0u, 1u, 7u, 8u, 9u, 64u, 4097u}) {
    const std::string from(size + 2, 'x');
    std::string to(size + 2, '-');
    EXPECT_EQ(BuiltinMemcpy(&to[1], &from[1], size), &to[1]);
    EXPECT_EQ(to, "-" + std::string(size, 'x') + "-");
  }
}

TEST(Builtins, MovesOverlappingMemoryInBothDirections) {
  std::string text = "0123456789";
  EXPECT_EQ(BuiltinMemmove(&text[2], text.data(), 8), &text[2]);
  EXPECT_EQ(text, "0101234567");
  EXPECT_EQ(BuiltinMemmove(text.data(), &text[2], 8), text.data());
  EXPECT_EQ(text, "0123456767");
  BuiltinMemmove(text.data(), text.data(), text.size());
  EXPECT_EQ(text, "0123456767");
}

TEST(Builtins, SetsTheLowByteOfTheValue) {
  std::string text = "abcdef";
  EXPECT_EQ(BuiltinMemset(&text[1], 0x1ff, 3), &text[1]);
  EXPECT_EQ(text,
            "a\xff\xff\xff"
            "ef");
}

TEST(Builtins, ComparesUnsignedBytesUpToTheFirstDifference) {
  EXPECT_EQ(BuiltinMemcmp("ab", "ac", 1), 0);
  EXPECT_EQ(BuiltinMemcmp("ab", "xy", 0), 0);
  EXPECT_LT(BuiltinMemcmp("ab\xff", "ac\x01", 3), 0);
  EXPECT_GT(BuiltinMemcmp("\x80", "\x7f", 1), 0);
}

}  // namespace
