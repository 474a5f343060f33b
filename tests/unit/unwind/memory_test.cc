#include "libmemtrace/unwind/memory.h"

#include <gtest/gtest.h>

#include "tests/unit/unwind/fenced.h"

namespace memtrace::unwind {
namespace {

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

TEST(UnwindMemory, StackStopsWhereMemoryDoes) {
  const Fenced stack(4 * kPage);
  const uintptr_t low = stack.address();
  const uintptr_t high = low + 4 * kPage;
  StackMemory memory(StackLimits{low + 64, low + kPage});
  uintptr_t value = 1;
  EXPECT_TRUE(memory.Read(low + 64, &value));
  EXPECT_TRUE(memory.Read(low + kPage - 4, &value)) << "across the end of what is known";
  EXPECT_TRUE(memory.Read(high - 8, &value));
  EXPECT_FALSE(memory.Read(high - 7, &value));
  EXPECT_FALSE(memory.Read(high, &value));
  EXPECT_FALSE(memory.Read(low - 8, &value));
  for (const uintptr_t wild : {uintptr_t{0}, uintptr_t{7}, ~uintptr_t{0}, ~uintptr_t{7}, uintptr_t{1} << 63}) {
    EXPECT_FALSE(memory.Read(wild, &value)) << wild;
    EXPECT_FALSE(memory.ReadProbed(wild, &value)) << wild;
  }
  EXPECT_TRUE(memory.Read(low, &value)) << "still usable";
}

TEST(UnwindMemory, ReaderNeverLeavesItsRange) {
  const uint8_t bytes[] = {0xe5, 0x8e, 0x26, 0x7f, 1, 2, 3, 4};
  const auto begin = reinterpret_cast<uintptr_t>(bytes);
  const MemoryRange range{begin, begin + sizeof(bytes)};
  ByteReader reader(range, begin);
  EXPECT_EQ(reader.Uleb(), 624485u);
  EXPECT_EQ(reader.Sleb(), -1);
  reader.Skip(1);
  EXPECT_EQ(reader.Read<uint16_t>(), 0x0302);
  EXPECT_EQ(reader.Read<uint16_t>(), 0) << "half of it lies beyond the end";
  EXPECT_FALSE(reader.ok());
  reader.Seek(begin);
  EXPECT_FALSE(reader.ok()) << "once lost, always lost";
  ByteReader skipping(range, begin);
  skipping.Skip(~uint64_t{0});
  EXPECT_FALSE(skipping.ok());
  ByteReader limited(range, begin);
  limited.LimitTo(begin + 2);
  EXPECT_EQ(limited.Uleb(), 0u + 0x65 + (0x0e << 7)) << "what there was";
  EXPECT_FALSE(limited.ok());
  EXPECT_FALSE(ByteReader(range, begin - 1).ok());
}

TEST(UnwindMemory, RangesDoNotOverflow) {
  const MemoryRange range{100, 200};
  EXPECT_TRUE(range.Contains(192, 8));
  EXPECT_FALSE(range.Contains(193, 8));
  EXPECT_FALSE(range.Contains(150, ~uintptr_t{0} - 100));
  EXPECT_TRUE(range.Contains(200, 0));
}

}  // namespace
}  // namespace memtrace::unwind
