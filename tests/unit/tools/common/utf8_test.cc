#include "tools/common/utf8.h"

#include <gtest/gtest.h>

namespace memtrace::tools {
namespace {

TEST(Utf8Test, WhatIsNoUtf8IsReplacedByteByByte) {
  EXPECT_EQ(ValidUtf8("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"), "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(ValidUtf8("\xff"), "\xef\xbf\xbd");
  EXPECT_EQ(ValidUtf8("a\xc3"), "a\xef\xbf\xbd");                // cut off
  EXPECT_EQ(ValidUtf8("\xc0\x80"), "\xef\xbf\xbd\xef\xbf\xbd");  // overlong
  EXPECT_EQ(ValidUtf8("\xed\xa0\x80").size(), 9u);               // a surrogate
  EXPECT_EQ(ValidUtf8("\xf4\x90\x80\x80").size(), 12u);          // beyond Unicode
  EXPECT_EQ(ValidUtf8(std::string_view("\0", 1)), std::string(1, '\0'));
}

TEST(Utf8Test, CountsCharacters) {
  EXPECT_EQ(CountCharacters(""), 0u);
  EXPECT_EQ(CountCharacters("\xc2\xb1"
                            "7"),
            2u);
  EXPECT_EQ(CountCharacters("\xff\xff"), 2u);
}

}  // namespace
}  // namespace memtrace::tools
