#include "libmemtrace/core/stack_table.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "libmemtrace/rt/random.h"
#include "tests/unit/core/scratch_recording.h"

namespace memtrace::core {
namespace {

using format::ChunkKind;
using format::Node;

// Program counters from the innermost frame outwards.
std::vector<uint64_t> StackOf(ScratchRecording* scratch, uint32_t node) {
  std::vector<uint64_t> pcs;
  for (; node != 0; node = scratch->get()->At<Node, ChunkKind::kNode>(node)->parent) {
    pcs.push_back(format::NodePc(*scratch->get()->At<Node, ChunkKind::kNode>(node)));
  }
  return pcs;
}

// The outermost frame is the last of `pcs`. 0 where the table is full.
uint32_t InternStack(StackTable* table, const std::vector<uint64_t>& pcs) {
  uint32_t node = 0;
  for (auto pc = pcs.rbegin(); pc != pcs.rend(); ++pc) {
    node = table->Intern(node, *pc, 3, 0);
    if (node == 0) break;
  }
  return node;
}

// A stack of a program with 16 callees per function.
std::vector<uint64_t> RandomStack(uint64_t* random) {
  std::vector<uint64_t> pcs(1 + rt::NextRandom(random) % 6);
  uint64_t pc = 0x400000;
  for (auto frame = pcs.rbegin(); frame != pcs.rend(); ++frame) {
    pc = (pc * 17 + rt::NextRandom(random) % 16 * 0x1234) & 0xffffffffffff;
    *frame = pc;
  }
  return pcs;
}

TEST(StackTableTest, EqualFramesOfOneParentAreOneNode) {
  ScratchRecording scratch;
  StackTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  const uint32_t main_node = table.Intern(0, 0x401000, 1, 0);
  const uint32_t callee = table.Intern(main_node, 0x7fffdeadbeef, 0xffff, format::kNodeInterrupted);
  EXPECT_NE(main_node, 0u);
  EXPECT_NE(callee, main_node);
  EXPECT_EQ(table.Intern(0, 0x401000, 1, 0), main_node);
  EXPECT_EQ(table.Intern(main_node, 0x7fffdeadbeef, 0xffff, format::kNodeInterrupted), callee);
  EXPECT_EQ(scratch.header().node_count, 3u);  // the root and these
  const Node& node = *scratch->At<Node, ChunkKind::kNode>(callee);
  EXPECT_EQ(format::NodePc(node), 0x7fffdeadbeefu);
  EXPECT_EQ(format::NodeModule(node), 0xffff);
  EXPECT_EQ(node.parent, main_node);
  EXPECT_EQ(node.depth, 2);
  EXPECT_EQ(node.flags, format::kNodeInterrupted);
}

TEST(StackTableTest, ParentModuleAndFlagsTellFramesApart) {
  ScratchRecording scratch;
  StackTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  const uint32_t parent = table.Intern(0, 1, 0, 0);
  std::set<uint32_t> nodes = {parent};
  nodes.insert(table.Intern(parent, 1, 0, 0));
  nodes.insert(table.Intern(0, 1, 1, 0));
  nodes.insert(table.Intern(0, 1, 0, format::kNodeTruncated));
  nodes.insert(table.Intern(0, 2, 0, 0));
  EXPECT_EQ(nodes.size(), 5u);
}

TEST(StackTableTest, ManyStacksComeBackAndHardlyAnyTwice) {
  ScratchRecording scratch;
  StackTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  constexpr int kStacks = 200'000;
  uint64_t random = 5;
  std::vector<uint32_t> nodes;
  for (int i = 0; i < kStacks; ++i) {
    const std::vector<uint64_t> stack = RandomStack(&random);
    nodes.push_back(InternStack(&table, stack));
    ASSERT_EQ(StackOf(&scratch, nodes.back()), stack);
  }
  const uint32_t count = scratch.header().node_count;
  EXPECT_GT(count, 100'000u);
  random = 5;
  int same = 0;
  for (int i = 0; i < kStacks; ++i) same += InternStack(&table, RandomStack(&random)) == nodes[static_cast<size_t>(i)];
  EXPECT_GE(same, kStacks * 99 / 100);
  EXPECT_LE(scratch.header().node_count, count + count / 100);
  // The index has 8 bytes a slot and doubles when a quarter is used; what it was before is given back.
  EXPECT_LE(table.private_bytes(), uint64_t{count} * 8 * 2 * 4 + 4096);
}

// Of a new stack only the outermost new frame needs a slot.
TEST(StackTableTest, DeepStacksNeedHardlyMoreOfTheIndexThanShallowOnes) {
  constexpr uint64_t kStacks = 20'000;
  uint64_t bytes[2] = {};
  for (const bool deep : {false, true}) {
    ScratchRecording scratch;
    StackTable table;
    ASSERT_TRUE(table.Open(scratch.get()));
    const auto intern = [&](uint64_t stack) {
      uint32_t node = table.Intern(0, 0x1000 + stack, 1, 0);
      for (uint64_t i = 1; deep && i < 20; ++i) node = table.Intern(node, stack * 32 + i, 1, 0);
      return node;
    };
    std::vector<uint32_t> nodes;
    for (uint64_t stack = 0; stack < kStacks; ++stack) nodes.push_back(intern(stack));
    EXPECT_EQ(scratch.header().node_count, 1 + kStacks * (deep ? 20 : 1));
    for (uint64_t stack = 0; stack < kStacks; ++stack) ASSERT_EQ(intern(stack), nodes[stack]);
    bytes[deep] = table.private_bytes();
  }
  EXPECT_LE(bytes[true], bytes[false] * 2);
}

TEST(StackTableTest, ParentsComeBeforeTheirCallees) {
  ScratchRecording scratch;
  StackTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  uint32_t node = 0;
  for (uint16_t depth = 1; depth <= 1024; ++depth) {
    node = table.Intern(node, 0x1000, 0, 0);  // recursion
    ASSERT_EQ((scratch->At<Node, ChunkKind::kNode>(node)->depth), depth);
    ASSERT_LT((scratch->At<Node, ChunkKind::kNode>(node)->parent), node);
  }
  EXPECT_EQ(StackOf(&scratch, node).size(), 1024u);
}

TEST(StackTableTest, FullTableRefusesNewFramesAndKnowsTheOld) {
  ScratchRecording scratch(kTestMiB);  // 12 chunks for nodes, 49,152
  StackTable table;
  ASSERT_TRUE(table.Open(scratch.get()));
  const uint32_t first = table.Intern(0, 1, 0, 0);
  uint32_t refused = 0;
  for (uint64_t pc = 2; pc < 60'000; ++pc) refused += table.Intern(0, pc, 0, 0) == 0;
  EXPECT_EQ(scratch.header().node_count, 12 * format::kNodesPerChunk);
  EXPECT_EQ(refused, 60'000 - 12 * format::kNodesPerChunk);
  EXPECT_EQ(scratch.header().drops[static_cast<int>(format::Drop::kNodeTableFull)], refused);
  EXPECT_EQ(table.Intern(0, 1, 0, 0), first);
  EXPECT_GE(scratch->AddChunk(ChunkKind::kLive), 0);
}

// All threads intern the same stacks in different orders until the table is full. Whatever node a thread
// gets, its stack is the one that was asked for: a node that is handed out twice would show another's.
TEST(StackTableTest, ConcurrentInterningGivesEqualStacks) {
  for (int run = 0; run < 5; ++run) {
    ScratchRecording scratch(kTestMiB);
    StackTable table;
    ASSERT_TRUE(table.Open(scratch.get()));
    std::vector<std::vector<std::pair<uint64_t, uint32_t>>> seen(4);  // seed of a stack and the node that it got
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        uint64_t order = t + 1;
        for (int i = 0; i < 30'000; ++i) {
          const uint64_t seed = i % 2 == 0 ? rt::NextRandom(&order) % 20'000 + 1 : rt::NextRandom(&order);
          uint64_t random = seed;
          const uint32_t node = InternStack(&table, RandomStack(&random));
          if (node != 0) seen[t].emplace_back(seed, node);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(scratch.header().node_count, 12 * format::kNodesPerChunk);
    for (const auto& of_thread : seen) {
      EXPECT_FALSE(of_thread.empty());
      for (const auto& [seed, node] : of_thread) {
        uint64_t random = seed;
        ASSERT_EQ(StackOf(&scratch, node), RandomStack(&random));
      }
    }
  }
}

}  // namespace
}  // namespace memtrace::core
