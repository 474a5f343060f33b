#include "tools/reader/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <numeric>

#include "libmemtrace/format/weight.h"
#include "tests/unit/tools/recording_builder.h"

namespace memtrace::tools {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

RecordingBuilder Small() {
  RecordingBuilder builder;
  builder.AddModule("/bin/program", "\x12\x34");
  const uint32_t node = builder.AddStack({0x1000, 0x1100, 0x1200});
  builder.Allocate(0x5000, 100, node);
  builder.Allocate(0x6000, 50, node);
  builder.AddBlob(format::BlobKind::kExecutable, "", "/bin/program");
  return builder;
}

format::TimelinePoint PointAt(uint64_t time_ns) {
  format::TimelinePoint point{};
  point.time_ns = time_ns;
  return point;
}

void PatchHeader(std::vector<std::byte>* bytes, size_t offset, uint32_t value) {
  std::memcpy(bytes->data() + offset, &value, sizeof(value));
}

Result<Profile> DecodeBytes(std::vector<std::byte> bytes) {
  return Decode(RecordingFile("test.rec", std::move(bytes)));
}

TEST(DecodeTest, WholeRecordingHasNoLosses) {
  const Profile profile = Small().Decode();
  EXPECT_THAT(profile.losses.items(), IsEmpty());
  EXPECT_EQ(profile.totals.allocations, 2u);
  EXPECT_EQ(profile.totals.allocated_bytes, 150u);
  EXPECT_EQ(profile.totals.live_bytes, 150u);
  EXPECT_EQ(profile.totals.live_allocations, 2u);
  EXPECT_EQ(profile.totals.peak_live_bytes, 150u);
  EXPECT_EQ(profile.work_bytes, 150u);
  EXPECT_THAT(profile.nodes, SizeIs(4));
  EXPECT_EQ(profile.modules.at(0).path, "/bin/program");
  EXPECT_EQ(profile.modules.at(0).build_id, "1234");
  EXPECT_EQ(profile.BlobOr(format::BlobKind::kExecutable, ""), "/bin/program");
}

TEST(DecodeTest, ForeignAndEmptyFilesAreNoRecordings) {
  EXPECT_EQ(DecodeBytes({}).error().code, ErrorCode::kNotRecording);
  EXPECT_EQ(DecodeBytes(std::vector<std::byte>(100000)).error().code, ErrorCode::kNotRecording);
}

TEST(DecodeTest, NewerVersionNamesBoth) {
  std::vector<std::byte> bytes = Small().Build();
  PatchHeader(&bytes, offsetof(format::Header, version), 7);
  const Result<Profile> result = DecodeBytes(bytes);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnknownVersion);
  EXPECT_THAT(result.error().Text(),
              AllOf(HasSubstr("version 7"), HasSubstr("version " + std::to_string(format::kVersion))));
}

TEST(DecodeTest, EveryTruncationGivesAProfileThatSaysWhatIsMissing) {
  const std::vector<std::byte> whole = Small().Build();
  for (size_t size = 16; size < whole.size(); size += 997) {
    const Result<Profile> result = DecodeBytes({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size)});
    ASSERT_TRUE(result.ok()) << size;
    EXPECT_FALSE(result.value().losses.empty()) << size;
  }
}

TEST(DecodeTest, LivingInTheCutPartIsLostAndTheRestIsNot) {
  RecordingBuilder builder = Small();
  builder.AddOverflow(0x7000, 25, 1);
  std::vector<std::byte> bytes = builder.Build();
  // Chunks: node, module, live, overflow, ...: the file ends inside of the overflow.
  bytes.resize(builder.header().front_bytes + 3 * format::kChunkBytes + 10);
  const Profile profile = DecodeBytes(bytes).value();
  EXPECT_EQ(profile.totals.live_bytes, 150u);
  EXPECT_FALSE(profile.losses.empty());
}

TEST(DecodeTest, YoungerBirthWinsWhereAnAddressIsSeenTwice) {
  RecordingBuilder builder;
  builder.header().work_bytes = 1000;
  builder.AddLive(0x5000, 100, 0, 10);
  builder.AddOverflow(0x5000, 40, 0, 500);
  builder.AddLive(0x6000, 7, 0, 20);
  builder.AddLive(0x6000, 7, 0, 20);
  const Profile profile = builder.Decode();
  EXPECT_THAT(profile.live, ElementsAre(Field(&LiveBlock::size, 40), Field(&LiveBlock::size, 7)));
}

TEST(DecodeTest, SampledBlocksStandForTheirWeight) {
  RecordingBuilder builder;
  builder.header().rates[0].bytes = 65536;
  builder.header().work_bytes = 1 << 20;
  builder.AddLive(0x5000, 1000, 0);
  builder.AddLive(0x9000, 100000, 0);
  const Profile profile = builder.Decode();
  EXPECT_EQ(profile.totals.live_bytes, format::WeightOf(1000, 65536).bytes + 100000);
  EXPECT_EQ(profile.totals.live_allocations, 67u);  // 1 / (1 - exp(-1000/65536)) = 66.04, and 1
}

TEST(DecodeTest, LargeSizesSurviveTheKey) {
  RecordingBuilder builder;
  builder.AddLive(0x7f0000000000, (uint64_t{3} << 32) + 5, 0);
  EXPECT_EQ(builder.Decode().live.at(0).size, (uint64_t{3} << 32) + 5);
}

TEST(DecodeTest, DeferredEventsComeAfterTheTables) {
  RecordingBuilder builder = Small();
  builder.thread().deferred = {{0x5000, format::kUnknown, 0, 0},       // frees what the table holds
                               {0x8000, 64, format::kUnknownSite, 0},  // stays
                               {0x9000, 32, format::kUnknownSite, 0},  // freed again
                               {0x9000, format::kUnknown, 0, 0},
                               {0x6000, format::kUnknown, 0, 0},  // freed and given out anew
                               {0x6000, 10, 0, 0}};
  const Profile profile = builder.Decode();
  EXPECT_THAT(profile.live, ElementsAre(AllOf(Field(&LiveBlock::address, 0x6000), Field(&LiveBlock::size, 10)),
                                        AllOf(Field(&LiveBlock::address, 0x8000), Field(&LiveBlock::size, 64))));
  EXPECT_EQ(profile.totals.live_bytes, 74u);
}

TEST(DecodeTest, DeferredEventsAreCounted) {
  RecordingBuilder builder = Small();
  const Profile before = builder.Decode();
  const auto freed =
      std::accumulate(before.live.begin(), before.live.end(), uint64_t{0}, [](uint64_t sum, const LiveBlock& block) {
        return sum + (block.address == 0x5000 || block.address == 0x6000 ? block.size : 0);
      });
  builder.thread().deferred = {{0x5000, format::kUnknown, 0, 0},      {0x8000, 64, format::kUnknownSite, 0},
                               {0x9000, 32, format::kUnknownSite, 0}, {0x9000, format::kUnknown, 0, 0},
                               {0x6000, 10, format::kUnknownSite, 0},  // its free was not seen
                               {0x7777, format::kUnknown, 0, 0}};      // never recorded
  const Profile profile = builder.Decode();
  EXPECT_EQ(profile.totals.allocations, before.totals.allocations + 3);
  EXPECT_EQ(profile.totals.allocated_bytes, before.totals.allocated_bytes + 64 + 32 + 10);
  EXPECT_EQ(profile.totals.frees, before.totals.frees + 3);
  EXPECT_EQ(profile.totals.freed_bytes, before.totals.freed_bytes + freed + 32);
  uint64_t of_sites = 0;
  for (const SiteCounts& site : profile.sites) of_sites += site.alloc_bytes;
  uint64_t of_sites_before = 0;
  for (const SiteCounts& site : before.sites) of_sites_before += site.alloc_bytes;
  EXPECT_EQ(of_sites, of_sites_before + 64 + 32 + 10);
}

TEST(DecodeTest, DeferredEventsThatWereWorkedOffCountOnce) {
  RecordingBuilder builder = Small();
  builder.AddLive(0x8000, 64, 0);
  const Profile before = builder.Decode();
  builder.thread().deferred = {{0x8000, 64, format::kUnknownSite, 0}};  // killed before the count went back to zero
  const Profile profile = builder.Decode();
  EXPECT_EQ(profile.totals.allocations, before.totals.allocations);
  EXPECT_EQ(profile.live.size(), before.live.size());
}

TEST(DecodeTest, CellsOfOneNodeAddUpOverThreadsAndMayWrap) {
  RecordingBuilder builder;
  builder.AddModule("/bin/program");
  const uint32_t node = builder.AddStack({0x1000});
  format::SiteCell cell{};
  cell.node = node;
  cell.alloc_bytes = 1000;
  cell.free_bytes = 100;
  cell.alloc_count_q16 = 10 * format::kCountOne;
  builder.AddSite(cell);
  cell.alloc_bytes = 500;
  cell.free_bytes = 0;
  cell.alloc_count_q16 = 5 * format::kCountOne;
  cell.peak_epoch = builder.header().peak_epoch;
  cell.peak_bytes = uint64_t{0} - 200;  // this thread freed more than it allocated
  cell.writer = 1;
  builder.AddSite(cell);
  const Profile profile = builder.Decode();
  ASSERT_THAT(profile.sites, SizeIs(1));
  EXPECT_EQ(profile.sites[0].alloc_bytes, 1500u);
  EXPECT_EQ(profile.sites[0].peak_bytes, 700u);  // 1000 - 100 unchanged since the peak, -200 stamped at it
}

TEST(DecodeTest, ASumBelowZeroIsZero) {
  RecordingBuilder builder;
  builder.AddModule("/bin/program");
  format::SiteCell cell{};
  cell.node = builder.AddStack({0x1000});
  cell.peak_bytes = uint64_t{0} - 5;
  cell.peak_epoch = builder.header().peak_epoch;
  builder.AddSite(cell);
  EXPECT_EQ(builder.Decode().sites.at(0).peak_bytes, 0u);
}

TEST(DecodeTest, ColumnsAddUpPerSite) {
  RecordingBuilder builder;
  builder.AddModule("/bin/program");
  const uint32_t first = builder.AddStack({0x1000});
  const uint32_t second = builder.AddStack({0x2000});
  builder.AddColumn(second, 3, 70);
  builder.AddColumn(first, 40, 11);
  builder.AddColumn(second, 3, 30);
  format::SiteCell cell{};
  cell.node = second;
  cell.columns[5] = format::InlineColumn(3, 1);
  builder.AddSite(cell);
  const Profile profile = builder.Decode();
  ASSERT_THAT(profile.columns, SizeIs(2));
  EXPECT_EQ(profile.sites[profile.columns[0].site].node, first);
  EXPECT_EQ(profile.sites[profile.columns[1].site].node, second);
  EXPECT_EQ(profile.columns[1].bytes, 101u);
}

// Two threads allocate at a site; one had 700 bytes there before the present octave of the work clock, and has 1000
// now; the other one came in it and has 50. A third only frees.
TEST(DecodeTest, GrowthIsWhatCellsHoldLessWhatTheyHeld) {
  RecordingBuilder builder;
  builder.AddModule("/bin/a");
  const uint32_t node = builder.AddStack({1, 2});
  builder.header().work_bytes = 3 << 20;
  const int present = format::WorkColumn(3 << 20);
  const auto cell = [&](uint32_t writer, uint32_t allocated, uint64_t freed, int column) {
    format::SiteCell added{};
    added.node = node;
    added.writer = writer;
    added.alloc_bytes = allocated;
    added.free_bytes = freed;
    if (column >= 0) added.columns[7] = format::InlineColumn(column, allocated);
    builder.AddSite(added);
  };
  cell(1, 1500, 500, present);
  cell(2, 50, 0, present);
  cell(3, 0, 100, -1);
  cell(4, 30, 0, present - 1);
  builder.AddColumn(node, present - format::kOctaves + format::kHeldColumns, 700);
  const Profile profile = builder.Decode();
  ASSERT_EQ(profile.sites.size(), 1u);
  EXPECT_EQ(profile.sites[0].grown_bytes[0], 350);
  EXPECT_EQ(profile.sites[0].grown_bytes[1], 1080);
  for (const SiteColumn& column : profile.columns) EXPECT_LT(column.column, uint32_t{format::kHeldColumns});
}

TEST(DecodeTest, SitesOnlyInTheLiveTableAreAddedAndColumnsKeepTheirs) {
  RecordingBuilder builder;
  builder.AddModule("/bin/program");
  const uint32_t live_only = builder.AddStack({0x1000});
  const uint32_t counted = builder.AddStack({0x2000});
  builder.AddColumn(counted, 3, 70);
  builder.AddLive(0x5000, 9, live_only);
  const Profile profile = builder.Decode();
  ASSERT_THAT(profile.sites, SizeIs(2));
  EXPECT_EQ(profile.sites[profile.columns.at(0).site].node, counted);
}

TEST(DecodeTest, PeakIncludesWhatAThreadHasNotFlushed) {
  RecordingBuilder builder;
  builder.header().live_bytes = 1000;
  builder.header().peak_live_bytes = 1500;
  builder.thread().buffer.pending_peak_bytes = 700;
  builder.AddThread().buffer.pending_peak_bytes = -50;
  EXPECT_EQ(builder.Decode().totals.peak_live_bytes, 1700u);
}

TEST(DecodeTest, IndicesOutsideOfTheTablesAreLosses) {
  RecordingBuilder builder;
  builder.AddModule("/bin/program");
  const uint32_t self = builder.AddNode({0x1000, 1, 1, 0});                         // its own parent
  const uint32_t foreign = builder.AddNode({0x1000 | uint64_t{9} << 48, 0, 1, 0});  // no such module
  builder.AddLive(0x5000, 10, 999);
  format::SiteCell cell{};
  cell.node = 888;
  builder.AddSite(cell);
  const Profile profile = builder.Decode();
  EXPECT_EQ(profile.nodes[self].parent, 0u);
  EXPECT_EQ(profile.nodes[foreign].module, format::kNoModule);
  EXPECT_EQ(profile.live.at(0).node, 0u);
  EXPECT_THAT(profile.losses.items(), SizeIs(4));
}

TEST(DecodeTest, HeaderThatLiesAboutSizesIsCaught) {
  constexpr size_t kFields[] = {
      offsetof(format::Header, chunk_bytes),       offsetof(format::Header, max_chunks),
      offsetof(format::Header, timeline_capacity), offsetof(format::Header, thread_buffer_bytes),
      offsetof(format::Header, node_count),        offsetof(format::Header, module_count),
      offsetof(format::Header, live_buckets),      offsetof(format::Header, thread_count),
      offsetof(format::Header, blob_bytes),        offsetof(format::Header, directory_offset),
      offsetof(format::Header, front_bytes)};
  for (const size_t field : kFields) {
    std::vector<std::byte> bytes = Small().Build();
    PatchHeader(&bytes, field, 0xfffffff0);
    const Result<Profile> result = DecodeBytes(bytes);
    ASSERT_TRUE(result.ok()) << field;
    EXPECT_FALSE(result.value().losses.empty()) << field;
  }
}

TEST(DecodeTest, DuplicateOrdinalsKeepTheFirstChunk) {
  RecordingBuilder builder = Small();
  std::vector<std::byte> bytes = builder.Build();
  const uint32_t node_entry = format::ChunkEntry(format::ChunkKind::kNode, 0);
  PatchHeader(&bytes, builder.header().directory_offset + 4, node_entry);  // was the module chunk
  const Profile profile = DecodeBytes(bytes).value();
  EXPECT_THAT(profile.nodes, SizeIs(4));
  EXPECT_FALSE(profile.losses.empty());
}

TEST(DecodeTest, ChunkNumbersDoNotDecideAboutMemory) {
  RecordingBuilder builder = Small();
  std::vector<std::byte> bytes = builder.Build();
  const uint32_t far_entry = format::ChunkEntry(format::ChunkKind::kNode, 100);
  PatchHeader(&bytes, builder.header().directory_offset + 4, far_entry);  // was the module chunk
  PatchHeader(&bytes, offsetof(format::Header, node_count), 0xffffffff);
  const Result<Profile> profile = DecodeBytes(bytes);
  ASSERT_TRUE(profile.ok());
  EXPECT_LT(profile.value().nodes.size() * sizeof(format::Node), 2 * bytes.size());
  EXPECT_FALSE(profile.value().losses.empty());
}

TEST(DecodeTest, LongBlobsAreJoined) {
  RecordingBuilder builder;
  builder.AddBlob(format::BlobKind::kProcFile, "maps", std::string(100000, 'a'));
  builder.AddBlob(format::BlobKind::kProcFile, "maps", "b");
  builder.AddBlob(format::BlobKind::kProcFile, "status", "c");
  const Profile profile = builder.Decode();
  EXPECT_EQ(*profile.FindBlob(format::BlobKind::kProcFile, "maps"), std::string(100000, 'a') + "b");
  EXPECT_EQ(*profile.FindBlob(format::BlobKind::kProcFile, "status"), "c");
  EXPECT_EQ(profile.FindBlob(format::BlobKind::kProcFile, "smaps"), nullptr);
}

TEST(DecodeTest, TimelineIsSortedAndEmptySlotsAreSkipped) {
  RecordingBuilder builder;
  builder.AddTimeline(PointAt(20));
  builder.AddTimeline({});
  builder.AddTimeline(PointAt(10));
  EXPECT_THAT(builder.Decode().timeline,
              ElementsAre(Field(&format::TimelinePoint::time_ns, 10), Field(&format::TimelinePoint::time_ns, 20)));
}

}  // namespace
}  // namespace memtrace::tools
