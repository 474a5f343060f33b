#include "tools/reader/jemalloc_profile.h"

#include <gtest/gtest.h>

#include "tools/reader/decode.h"

namespace memtrace::tools {
namespace {

constexpr char kProfile[] =
    "heap_v2/4096\n"
    "  t*: 5: 5120 [9: 9216]\n"
    "  t0: 5: 5120 [9: 9216]\n"
    "@ 0x555555555100 0x555555555201 0x7ffff7c00301\n"
    "  t*: 4: 4098 [8: 8192]\n"
    "  t0: 4: 4098 [8: 8192]\n"
    "@ 0x555555555150 0x555555555201 0x7ffff7c00301\r\n"
    "  t*: 1: 1000000 [0: 0]\n"
    "\n"
    "MAPPED_LIBRARIES:\n"
    "555555554000-555555555000 r--p 00000000 08:01 12 /opt/the service\n"
    "555555555000-555555557000 r-xp 00001000 08:01 12 /opt/the service\n"
    "7ffff7c00000-7ffff7d00000 r-xp 00026000 08:01 13 /lib/libc.so.6\n"
    "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]\n";

TEST(JemallocProfileTest, HasStacksModulesAndUnbiasedSums) {
  const Profile profile = DecodeJemallocProfile("p.heap", kProfile);
  EXPECT_TRUE(profile.losses.empty());
  EXPECT_FALSE(profile.has_history);
  EXPECT_EQ(profile.header.rates[0].bytes, 4096u);
  ASSERT_EQ(profile.modules.size(), 2u);
  EXPECT_EQ(profile.modules[0].path, "/opt/the service");
  EXPECT_EQ(profile.modules[0].bias, 0x555555554000u);
  EXPECT_EQ(profile.modules[0].end, 0x555555557000u);
  EXPECT_EQ(profile.modules[1].bias, 0x7ffff7c00000u - 0x26000);

  ASSERT_EQ(profile.nodes.size(), 5u);  // the root, two callers, two sites
  EXPECT_EQ(profile.nodes[1].pc, 0x7ffff7c00300u);
  EXPECT_EQ(profile.nodes[1].module, 1);
  EXPECT_EQ(profile.nodes[2].pc, 0x555555555200u);
  EXPECT_EQ(profile.nodes[3].pc, 0x555555555100u);
  EXPECT_EQ(profile.nodes[4].parent, 2u);

  ASSERT_EQ(profile.live.size(), 5u);
  EXPECT_EQ(profile.live[0].size + profile.live[1].size + profile.live[2].size + profile.live[3].size, 4098u);
  // A block of 1 KiB is sampled at 4 KiB with probability 1 - exp(-1/4); one of a megabyte for certain.
  EXPECT_NEAR(static_cast<double>(profile.totals.live_bytes), 4098 / 0.2212959 + 1e6, 10);
  ASSERT_EQ(profile.sites.size(), 2u);
  EXPECT_NEAR(static_cast<double>(profile.sites[0].alloc_bytes), 8192 / 0.221199, 10);
  EXPECT_EQ(profile.sites[1].alloc_bytes, 1000000u);  // no sums over all time: what lives
  EXPECT_FALSE(profile.has_sums);
}

TEST(JemallocProfileTest, KnowsWhetherItHasSums) {
  EXPECT_TRUE(DecodeJemallocProfile("", "heap_v2/1\n@ 0x1\n t*: 1: 8 [3: 24]\n@ 0x2\n t*: 0: 0 [0: 0]\n").has_sums);
  EXPECT_FALSE(DecodeJemallocProfile("", "heap_v2/1\n@ 0x1\n t*: 1: 8 [3: 24]\n@ 0x2\n t*: 1: 8 [0: 0]\n").has_sums);
}

TEST(JemallocProfileTest, LargeBlocksAreMissedToo) {
  const Profile profile = DecodeJemallocProfile("", "heap_v2/4096\n@ 0x1\n t*: 100: 409600 [0: 0]\n");
  EXPECT_EQ(profile.totals.live_allocations, 158u);  // 100 / (1 - 1/e)
  EXPECT_EQ(profile.totals.live_bytes, 158u * 4096);
}

TEST(JemallocProfileTest, TheAllocatorsOwnFramesAreNotThePrograms) {
  const Profile profile =
      DecodeJemallocProfile("",
                            "heap_v2/1\n@ 0x7f0000001000 0x7f0000001100 0x555500001001\n"
                            " t*: 1: 8 [1: 8]\nMAPPED_LIBRARIES:\n"
                            "555500000000-555500002000 r-xp 00000000 08:01 1 /bin/x\n"
                            "7f0000000000-7f0000002000 r-xp 00000000 08:01 1 /lib/libjemalloc.so.2\n");
  ASSERT_EQ(profile.nodes.size(), 2u);
  EXPECT_EQ(profile.nodes[1].pc, 0x555500001000u);
}

TEST(JemallocProfileTest, DecodeRecognisesIt) {
  const std::string text = kProfile;
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  const Result<Profile> profile = Decode(RecordingFile("p.heap", {bytes, bytes + text.size()}));
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile.value().totals.live_allocations, 19u);  // 4 / 0.2213 + 1
}

TEST(JemallocProfileTest, ProgramsAtTheirLinkedAddress) {
  const Profile profile = DecodeJemallocProfile(
      "",
      "heap_v2/1\n@ 0x401000\n t*: 1: 8 [1: 8]\nMAPPED_LIBRARIES:\n00400000-00500000 r-xp 00000000 08:01 1 /bin/x\n");
  EXPECT_EQ(profile.modules.at(0).bias, 0u);
  EXPECT_EQ(profile.totals.live_bytes, 8u);
}

TEST(JemallocProfileTest, AnyContentGivesAProfile) {
  const std::string whole = kProfile;
  for (size_t bytes = 0; bytes <= whole.size(); ++bytes) {
    const Profile profile = DecodeJemallocProfile("", whole.substr(0, bytes));
    EXPECT_FALSE(profile.nodes.empty());
  }
  for (const char* text :
       {"heap_v2/0\n@\n t*: 1: 1 [1: 1]\n", "heap_v2/x\n", "heap_v2/-1\n@ zz\nt*: a: b [c: d]\n",
        "heap_v2/99999999999999999999999\n@ 0xffffffffffffffff 0x1\n t*: 3: 18446744073709551615 [1: 1]\n",
        "heap_v2/1\n@ 0x1\n t*: 18446744073709551615: 18446744073709551615 [0: 0]\n",
        "heap_v2/1\n@ 0x1\n t*: 5: 0 [0: 9]\nMAPPED_LIBRARIES:\n5-4 r-xp /a\n1-2\n-\n"}) {
    const Profile profile = DecodeJemallocProfile("", text);
    for (const LiveBlock& block : profile.live) EXPECT_LT(block.node, profile.nodes.size());
    EXPECT_LE(profile.live.size(), uint64_t{1} << 22);
  }
  EXPECT_FALSE(DecodeJemallocProfile("", "heap_v2/1\n@ 0x1\n t*: 99999999: 99999999 [0: 0]\n").losses.empty());
}

}  // namespace
}  // namespace memtrace::tools
