#include "libmemtrace/core/recording.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "tests/unit/core/scratch_recording.h"

namespace memtrace::core {
namespace {

using format::ChunkKind;
using format::kChunkBytes;

std::string FileContent(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

// The open descriptor of `path`, -1 if there is none.
int DescriptorOf(const std::string& path) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    if (std::filesystem::read_symlink(entry.path(), ignored) == path) return std::stoi(entry.path().filename());
  }
  return -1;
}

// Adds chunks until the recording refuses.
uint32_t AddAll(Recording* recording, ChunkKind kind) {
  uint32_t added = 0;
  while (recording->AddChunk(kind) >= 0) ++added;
  return added;
}

bool AllZero(const uint8_t* chunk) {
  return std::all_of(chunk, chunk + kChunkBytes, [](uint8_t byte) { return byte == 0; });
}

TEST(RecordingTest, HeaderDescribesTheFile) {
  ScratchRecording scratch(8 * kTestMiB);
  const std::string content = FileContent(scratch->path());
  ASSERT_GE(content.size(), sizeof(format::Header));
  format::Header h;
  memcpy(&h, content.data(), sizeof(h));
  EXPECT_EQ(memcmp(h.magic, format::kMagic, sizeof(h.magic)), 0);
  EXPECT_EQ(h.version, format::kVersion);
  EXPECT_EQ(h.header_bytes, sizeof(format::Header));
  EXPECT_EQ(h.max_chunks, 8 * kTestMiB / kChunkBytes);
  EXPECT_GE(h.directory_offset, h.timeline_offset + h.timeline_capacity * sizeof(format::TimelinePoint));
  EXPECT_GE(h.front_bytes, h.directory_offset + h.max_chunks * sizeof(uint32_t));
  EXPECT_EQ(h.thread_buffer_bytes, format::kThreadBufferBytes);
  EXPECT_EQ(h.state, static_cast<uint32_t>(format::State::kRunning));
  EXPECT_EQ(content.size(), scratch->file_bytes());
}

TEST(RecordingTest, IsPrivateToItsUserWhateverTheUmask) {
  const mode_t before = umask(0);
  ScratchRecording scratch;
  umask(before);
  struct stat status;
  ASSERT_EQ(stat(scratch->path(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
}

TEST(RecordingTest, PublishNeverReplaces) {
  ScratchRecording scratch;
  scratch.tree().Write("/taken.rec", "somebody's");
  const std::string temporary = scratch->path();
  EXPECT_EQ(scratch->Publish("taken.rec"), -EEXIST);
  EXPECT_EQ(FileContent(scratch.tree().In("/taken.rec")), "somebody's");
  EXPECT_EQ(scratch->path(), temporary);
  EXPECT_EQ(scratch->Publish("free.rec"), 0);
  EXPECT_EQ(scratch->path(), scratch.tree().In("/free.rec"));
  EXPECT_FALSE(std::filesystem::exists(temporary));
  EXPECT_TRUE(std::filesystem::exists(scratch->path()));
}

TEST(RecordingTest, RemoveTakesItsOwnFileOnly) {
  ScratchRecording scratch;
  ASSERT_EQ(scratch->Publish("mine.rec"), 0);
  std::filesystem::remove(scratch->path());
  scratch.tree().Write("/mine.rec", "another's");
  scratch->Remove();
  EXPECT_EQ(FileContent(scratch->path()), "another's");
}

TEST(RecordingTest, ChunksAreNumberedPerKindAndListedInTheDirectory) {
  ScratchRecording scratch;
  const std::vector<ChunkKind> kinds = {ChunkKind::kNode, ChunkKind::kLive, ChunkKind::kNode,
                                        ChunkKind::kBlob, ChunkKind::kLive, ChunkKind::kLive};
  const std::vector<int> ordinals = {0, 0, 1, 0, 1, 2};
  for (size_t i = 0; i < kinds.size(); ++i) EXPECT_EQ(scratch->AddChunk(kinds[i]), ordinals[i]);
  const auto* directory = reinterpret_cast<const uint32_t*>(scratch->data() + scratch.header().directory_offset);
  for (size_t i = 0; i < kinds.size(); ++i) {
    EXPECT_EQ(format::EntryKind(directory[i]), kinds[i]);
    EXPECT_EQ(format::EntryOrdinal(directory[i]), static_cast<uint32_t>(ordinals[i]));
    EXPECT_EQ(scratch->Chunk(kinds[i], static_cast<uint32_t>(ordinals[i])),
              scratch->data() + scratch.header().front_bytes + i * kChunkBytes);
  }
  EXPECT_EQ(scratch->ChunkCount(ChunkKind::kLive), 3u);
  EXPECT_EQ(scratch->ChunkCount(ChunkKind::kModule), 0u);
  EXPECT_EQ(scratch->used_bytes(), scratch.header().front_bytes + kinds.size() * kChunkBytes);
}

TEST(RecordingTest, GrowsInSmallStepsWithZeroesInBackedBlocks) {
  ScratchRecording scratch(32 * kTestMiB);
  while (true) {
    const int ordinal = scratch->AddChunk(ChunkKind::kLive);
    if (ordinal < 0) break;
    const uint64_t slack = scratch->file_bytes() - scratch->used_bytes();
    EXPECT_LE(slack, std::max<uint64_t>(7 * kChunkBytes, scratch->file_bytes() / 8));
    uint8_t* chunk = scratch->Chunk(ChunkKind::kLive, static_cast<uint32_t>(ordinal));
    ASSERT_TRUE(AllZero(chunk));
    memset(chunk, 0xff, kChunkBytes);
  }
  struct stat status;
  ASSERT_EQ(stat(scratch->path(), &status), 0);
  EXPECT_EQ(static_cast<uint64_t>(status.st_size), scratch->file_bytes());
  EXPECT_GE(static_cast<uint64_t>(status.st_blocks) * 512, scratch->file_bytes());
}

TEST(RecordingTest, MaximumIsKept) {
  ScratchRecording scratch(4 * kTestMiB);
  EXPECT_EQ(scratch->ChunksLeft(), 64u);
  EXPECT_EQ(AddAll(scratch.get(), ChunkKind::kLive), 64u);
  EXPECT_EQ(scratch->ChunksLeft(), 0u);
  EXPECT_EQ(scratch->used_bytes(), scratch.header().front_bytes + 4 * kTestMiB);
  EXPECT_EQ(scratch->AddChunk(ChunkKind::kOverflow), -1);
}

TEST(RecordingTest, LastQuarterIsForLiveBlocks) {
  for (const ChunkKind kind : {ChunkKind::kNode, ChunkKind::kSite, ChunkKind::kColumn, ChunkKind::kThread,
                               ChunkKind::kModule, ChunkKind::kBlob}) {
    ScratchRecording scratch(4 * kTestMiB);
    EXPECT_EQ(AddAll(scratch.get(), kind), 48u);
    EXPECT_EQ(AddAll(scratch.get(), ChunkKind::kLive), 8u + 8u);
  }
  ScratchRecording scratch(4 * kTestMiB);
  EXPECT_EQ(AddAll(scratch.get(), ChunkKind::kOverflow), 64u);
}

TEST(RecordingTest, FileSizeLimitRefusesWithoutASignal) {
  EXPECT_EQ(RunInChild([] {
              ScratchRecording scratch(64 * kTestMiB);
              const rlimit limit = {2 * kTestMiB, 2 * kTestMiB};
              ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
              const uint32_t added = AddAll(scratch.get(), ChunkKind::kLive);
              EXPECT_GT(added, 20u);
              EXPECT_LE(scratch->file_bytes(), 2 * kTestMiB);
              EXPECT_NE(scratch.header().flags & format::kFlagGrowthRefused, 0u);
              EXPECT_EQ(scratch->ChunksLeft(), 0u);
              memset(scratch->Chunk(ChunkKind::kLive, added - 1), 0xff, kChunkBytes);
            }),
            0);
}

TEST(RecordingTest, FullDiskRefusesAndEveryChunkThatWasGivenIsBacked) {
  RecordedTree tree;
  const int status = RunInChild([&] {
    if (!MountTmpfs(tree.root(), "size=1m")) _exit(kCannotMount);
    Recording recording;
    ASSERT_EQ(recording.Create(tree.root(), 64 * kTestMiB), 0);
    const uint32_t added = AddAll(&recording, ChunkKind::kLive);
    EXPECT_GE(added, 12u);  // 16 less the front, to the last chunk that fits
    EXPECT_NE(recording.header().flags & format::kFlagGrowthRefused, 0u);
    for (uint32_t i = 0; i < added; ++i) memset(recording.Chunk(ChunkKind::kLive, i), 0xff, kChunkBytes);
    Recording second;
    EXPECT_EQ(second.Create(tree.root(), 64 * kTestMiB), -ENOSPC);
    second.Remove();
    const std::filesystem::directory_iterator files(tree.root());
    EXPECT_EQ(std::distance(begin(files), end(files)), 1);
  });
  if (status == kCannotMount << 8) GTEST_SKIP() << "needs the right to mount";
  EXPECT_EQ(status, 0);
}

TEST(RecordingTest, ImpossibleDirectoriesAreErrors) {
  Recording none;
  EXPECT_EQ(none.Create("/nonexistent", kTestMiB), -ENOENT);
  RecordedTree tree;
  tree.Write("/file", "");
  Recording file;
  EXPECT_EQ(file.Create(tree.In("/file").c_str(), kTestMiB), -ENOTDIR);
}

TEST(RecordingTest, GoesOnWhenTheProgramClosesAllDescriptors) {
  EXPECT_EQ(RunInChild([] {
              ScratchRecording scratch;
              ASSERT_EQ(scratch->Publish("a.rec"), 0);
              ASSERT_EQ(close_range(3, ~0u, 0), 0);
              for (int i = 0; i < 40; ++i) ASSERT_EQ(scratch->AddChunk(ChunkKind::kLive), i);
              memset(scratch->Chunk(ChunkKind::kLive, 39), 0xff, kChunkBytes);
            }),
            0);
}

TEST(RecordingTest, LeavesADescriptorAloneThatTheProgramTookOver) {
  EXPECT_EQ(RunInChild([] {
              ScratchRecording scratch;
              ASSERT_EQ(scratch->Publish("a.rec"), 0);
              scratch.tree().Write("/data", "precious");
              const int fd = DescriptorOf(scratch->path());
              EXPECT_GE(fd, 700);
              const int data = open(scratch.tree().In("/data").c_str(), O_RDWR);
              ASSERT_EQ(dup2(data, fd), fd);
              for (int i = 0; i < 40; ++i) ASSERT_EQ(scratch->AddChunk(ChunkKind::kLive), i);
              EXPECT_EQ(FileContent(scratch.tree().In("/data")), "precious");
              EXPECT_EQ(std::filesystem::file_size(scratch->path()), scratch->file_bytes());
              EXPECT_NE(fcntl(fd, F_GETFD), -1) << "the program's descriptor was closed";
            }),
            0);
}

TEST(RecordingTest, WithoutDescriptorAndNameItKeepsWhatItHas) {
  EXPECT_EQ(RunInChild([] {
              ScratchRecording scratch;
              ASSERT_EQ(scratch->AddChunk(ChunkKind::kLive), 0);
              std::filesystem::remove(scratch->path());
              ASSERT_EQ(close_range(3, ~0u, 0), 0);
              AddAll(scratch.get(), ChunkKind::kLive);
              EXPECT_NE(scratch.header().flags & format::kFlagGrowthRefused, 0u);
              memset(scratch->Chunk(ChunkKind::kLive, 0), 0xff, kChunkBytes);
            }),
            0);
}

TEST(RecordingTest, AddressSpaceLimitHoldsGrowth) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's shadow is larger than any limit";
#endif
  EXPECT_EQ(RunInChild([] {
              const rlimit limit = {512 * kTestMiB, 512 * kTestMiB};
              ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
              RecordedTree tree;
              Recording recording;
              ASSERT_EQ(recording.Create(tree.root(), 1024 * kTestMiB), 0);
              while (recording.AddChunk(ChunkKind::kLive) >= 0) continue;
              EXPECT_LE(recording.file_bytes(), 32 * kTestMiB);
              EXPECT_GE(recording.file_bytes(), 16 * kTestMiB);
            }),
            0);
}

TEST(RecordingTest, ForkedChildHasNoMappingAndBeginsItsOwn) {
  ScratchRecording scratch;
  ASSERT_EQ(scratch->Publish("parent.rec"), 0);
  EXPECT_EQ(RunInChild([&] {
              unsigned char resident;
              EXPECT_EQ(mincore(const_cast<uint8_t*>(scratch->data()), 1, &resident), -1);
              scratch->ForgetInChild();
              EXPECT_FALSE(scratch->open());
              EXPECT_EQ(DescriptorOf(scratch.tree().In("/parent.rec")), -1);
              ASSERT_EQ(scratch->Create(scratch.tree().root(), kTestMiB), 0);
              EXPECT_EQ(scratch->Publish("child.rec"), 0);
              EXPECT_EQ(scratch->AddChunk(ChunkKind::kNode), 0);
            }),
            0);
  EXPECT_EQ(scratch.header().chunk_count, 0u);
  EXPECT_TRUE(std::filesystem::exists(scratch.tree().In("/child.rec")));
}

TEST(RecordingTest, SecondMappingSeesEveryChunkThatIsListed) {
  ScratchRecording scratch(64 * kTestMiB);
  const int fd = open(scratch->path(), O_RDONLY);
  const format::Header& h = scratch.header();
  const uint64_t bytes = h.front_bytes + uint64_t{h.max_chunks} * kChunkBytes;
  void* second = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(second, MAP_FAILED);
  std::vector<std::thread> writers;
  for (int t = 0; t < 2; ++t) {
    writers.emplace_back([&] {
      for (int ordinal; (ordinal = scratch->AddChunk(ChunkKind::kLive)) >= 0;) {
        Store(*scratch->Chunk(ChunkKind::kLive, static_cast<uint32_t>(ordinal)), uint8_t{1});
      }
    });
  }
  auto* base = static_cast<uint8_t*>(second);
  auto* seen = reinterpret_cast<format::Header*>(base);
  uint32_t chunks = 0;
  while (chunks < seen->max_chunks) {
    const uint32_t listed = Load(seen->chunk_count, std::memory_order_acquire);
    for (; chunks < listed; ++chunks) {  // touching a chunk that is not backed would be a SIGBUS
      const uint32_t entry = Load(reinterpret_cast<uint32_t*>(base + h.directory_offset)[chunks]);
      ASSERT_EQ(entry, format::ChunkEntry(ChunkKind::kLive, chunks));
      ASSERT_LE(Load(base[h.front_bytes + uint64_t{chunks} * kChunkBytes]), 1);
    }
  }
  for (std::thread& writer : writers) writer.join();
  munmap(second, bytes);
  close(fd);
}

}  // namespace
}  // namespace memtrace::core
