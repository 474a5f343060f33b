#include "libmemtrace/core/block_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

#include "libmemtrace/rt/random.h"

namespace memtrace::core {
namespace {

using unwind::MemoryRange;

uint64_t AddressOf(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

// Blocks anywhere, and words that point to them.
class BlockGraphTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kCapacity = 20'000;
  BlockGraphTest() : memory_(BlockGraph::BytesFor(kCapacity)), graph_(memory_.data(), kCapacity) {}

  static format::LiveBucket BucketOf(uint64_t address, uint64_t size, uint32_t birth = 7) {
    format::LiveBucket bucket{};
    bucket.keys[1] = format::LiveKey(address, 5, size);
    bucket.sizes[1] = static_cast<uint32_t>(size);
    bucket.births[1] = birth;
    return bucket;
  }
  void Add(uint64_t address, uint64_t size) { ASSERT_TRUE(graph_.Add(BucketOf(address, size))); }
  bool IsLost(uint64_t address, uint64_t size, uint32_t birth = 7) {
    return graph_.IsLost(BucketOf(address, size, birth), 1);
  }
  void Point(const std::vector<uint64_t>& words) {
    const uint64_t begin = AddressOf(words.data());
    graph_.Scan({begin, begin + words.size() * sizeof(uint64_t)});
  }

  std::vector<uint8_t> memory_;
  BlockGraph graph_;
};

TEST_F(BlockGraphTest, NothingIsReachedInAnEmptyGraph) {
  graph_.Index();
  Point({0, 1, 0x1000, ~uint64_t{0}});
  MemoryRange content;
  EXPECT_FALSE(graph_.NextReached(&content));
  EXPECT_FALSE(IsLost(0x1000, 10));
}

TEST_F(BlockGraphTest, StartAndInsideCountTheEndDoesNot) {
  for (const uint64_t address : {0x10000, 0x20000, 0x30000, 0x40000}) Add(address, 100);
  graph_.Index();
  Point({0x10000, 0x20000 + 99, 0x30000 + 100, 0x40000 - 1});
  EXPECT_FALSE(IsLost(0x10000, 100));
  EXPECT_FALSE(IsLost(0x20000, 100));
  EXPECT_TRUE(IsLost(0x30000, 100));
  EXPECT_TRUE(IsLost(0x40000, 100));
}

TEST_F(BlockGraphTest, ABlockOfNoBytesIsReachedByItsAddress) {
  Add(0x10000, 0);
  Add(0x10020, 0);
  graph_.Index();
  Point({0x10000, 0x10021});
  EXPECT_FALSE(IsLost(0x10000, 0));
  EXPECT_TRUE(IsLost(0x10020, 0));
}

TEST_F(BlockGraphTest, AnotherBlockAtTheSameAddressIsNotJudged) {
  Add(0x10000, 100);
  graph_.Index();
  EXPECT_TRUE(IsLost(0x10000, 100));
  EXPECT_FALSE(IsLost(0x10000, 100, 8));
  EXPECT_FALSE(IsLost(0x10000, 101));
  EXPECT_FALSE(IsLost(0x10000, 100 + (uint64_t{1} << 32)));
  EXPECT_FALSE(IsLost(0x10008, 100));
}

// Against a search through all blocks, over holes of any size.
TEST_F(BlockGraphTest, FindsAmongManyScatteredBlocks) {
  uint64_t random = 12345;
  std::set<uint64_t> taken;
  for (int cluster = 0; cluster < 40; ++cluster) {
    uint64_t at = (rt::NextRandom(&random) >> 17) & ~uint64_t{15};
    for (int i = 0; i < 400; ++i) {
      at += 64 + rt::NextRandom(&random) % 5000;
      taken.insert(at);
    }
  }
  for (const uint64_t address : taken) Add(address, 40);
  graph_.Index();
  std::set<uint64_t> reached;
  std::vector<uint64_t> words;
  for (const uint64_t address : taken) {
    words.push_back(address + 40 + rt::NextRandom(&random) % 24);  // between blocks
    if (rt::NextRandom(&random) % 3 != 0) continue;
    reached.insert(address);
    words.push_back(address + rt::NextRandom(&random) % 40);
  }
  Point(words);
  for (const uint64_t address : taken) EXPECT_EQ(IsLost(address, 40), !reached.contains(address)) << address;
}

TEST_F(BlockGraphTest, ContentIsAskedForOnceAndWhatLiesBetweenBlocksIsNoContent) {
  std::vector<uint64_t> room(64);
  const uint64_t begin = AddressOf(room.data());
  Add(begin + 64, 128);       // words 8..23
  Add(begin + 256, 64);       // words 32..39
  Add(begin + 64 * 8, 8);     // behind the room
  room[8] = begin + 256;      // in the first block
  room[33] = begin + 256;     // in the second, to itself
  room[50] = begin + 64 * 8;  // between blocks
  graph_.Index();
  graph_.ScanBetweenBlocks({begin, begin + 64 * 8});
  EXPECT_TRUE(IsLost(begin + 64, 128));
  EXPECT_TRUE(IsLost(begin + 256, 64));
  EXPECT_FALSE(IsLost(begin + 64 * 8, 8));
  Point({begin + 64});
  std::vector<uint64_t> asked;
  for (MemoryRange content; graph_.NextReached(&content);) {
    asked.push_back(content.begin);
    if (content.begin != begin + 64 * 8) graph_.Scan(content);
  }
  EXPECT_THAT(asked, ::testing::UnorderedElementsAre(begin + 64, begin + 256, begin + 64 * 8));
}

TEST_F(BlockGraphTest, MoreBlocksThanThereIsRoomForAreRefused) {
  for (uint64_t i = 0; i < kCapacity; ++i) Add(0x10000 + i * 32, 16);
  EXPECT_FALSE(graph_.Add(BucketOf(0x1000, 16)));
  EXPECT_EQ(graph_.count(), kCapacity);
}

class GlibcHeapTest : public BlockGraphTest {
 protected:
  // A chunk as glibc lays it out, at `offset` in the room.
  uint64_t AddChunk(size_t offset, uint64_t size, uint64_t chunk, uint64_t flags = 1) {
    room_[offset / 8 + 1] = chunk | flags;
    const uint64_t block = AddressOf(room_.data()) + offset + 16;
    Add(block, size);
    return block;
  }
  MemoryRange range() const { return {AddressOf(room_.data()), AddressOf(room_.data() + room_.size())}; }

  alignas(16) std::array<uint64_t, 512> room_{};
};

TEST_F(GlibcHeapTest, IsKnownByEveryBlockInIt) {
  AddChunk(0, 24, 32);
  AddChunk(32, 100, 112);
  AddChunk(144, 0, 32);
  graph_.Index();
  EXPECT_TRUE(graph_.LooksLikeGlibc(range(), true));
  EXPECT_FALSE(graph_.LooksLikeGlibc(range(), false));
  room_[32 / 8 + 1] = 96 | 1;  // too small for 100 bytes
  EXPECT_FALSE(graph_.LooksLikeGlibc(range(), true));
  room_[32 / 8 + 1] = 4096 | 1;  // far too large
  EXPECT_FALSE(graph_.LooksLikeGlibc(range(), true));
}

TEST_F(GlibcHeapTest, OtherArenasCarryTheirFlag) {
  AddChunk(0, 24, 32, 5);
  graph_.Index();
  EXPECT_TRUE(graph_.LooksLikeGlibc(range(), false));
  EXPECT_FALSE(graph_.LooksLikeGlibc(range(), true));
}

// The next chunk's header begins in the last eight bytes that a block of 24 may use.
TEST_F(GlibcHeapTest, ListsOfFreeMemoryReachNoBlock) {
  const uint64_t block = AddChunk(0, 24, 32);
  graph_.Index();
  graph_.IgnoreChunkEnds(range());
  Point({block + 16});
  EXPECT_TRUE(IsLost(block, 24));
  Point({block + 8});
  EXPECT_FALSE(IsLost(block, 24));
}

TEST_F(GlibcHeapTest, ElsewhereThatIsAPointerLikeAnother) {
  const uint64_t block = AddChunk(0, 24, 32);
  graph_.Index();
  Point({block + 16});
  EXPECT_FALSE(IsLost(block, 24));
}

}  // namespace
}  // namespace memtrace::core
