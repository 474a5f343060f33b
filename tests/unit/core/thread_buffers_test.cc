#include "libmemtrace/core/thread_buffers.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <latch>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "tests/unit/core/scratch_recording.h"

namespace memtrace::core {
namespace {

using format::ThreadBuffer;

constexpr uint32_t kDepth = 8;

TEST(ThreadBuffersTest, BufferIsItsThreadsAndHasScratchMemory) {
  ScratchRecording scratch;
  const auto tid = static_cast<uint32_t>(gettid());
  ThreadBuffer* buffer = ClaimThreadBuffer(scratch.get(), tid, kDepth);
  ASSERT_NE(buffer, nullptr);
  EXPECT_EQ(buffer, ThreadBufferAt(*scratch.get(), 0));
  EXPECT_EQ(buffer->owner_tid, tid);
  EXPECT_EQ(scratch.header().thread_count, 1u);
  EXPECT_TRUE(Scratch(buffer)->is_main_thread);
  EXPECT_EQ(Scratch(buffer)->index, 0u);
  DeferredEvents(buffer)[format::kDeferredEvents - 1].address = 1;
}

TEST(ThreadBuffersTest, LivingThreadsShareNothing) {
  ScratchRecording scratch;
  constexpr uint32_t kThreads = 300;  // three chunks of buffers
  std::mutex mutex;
  std::set<ThreadBuffer*> buffers;
  std::latch all_have_one(kThreads);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      {
        const std::lock_guard lock(mutex);
        ThreadBuffer* buffer = ClaimThreadBuffer(scratch.get(), static_cast<uint32_t>(gettid()), kDepth);
        ASSERT_NE(buffer, nullptr);
        EXPECT_FALSE(Scratch(buffer)->is_main_thread);
        EXPECT_EQ(ThreadBufferAt(*scratch.get(), Scratch(buffer)->index), buffer);
        buffers.insert(buffer);
      }
      all_have_one.arrive_and_wait();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(buffers.size(), kThreads);
  EXPECT_EQ(scratch.header().thread_count, kThreads);
}

TEST(ThreadBuffersTest, TenThousandShortThreadsNeedAFewBuffersAndTheirCountsStay) {
  ScratchRecording scratch;
  constexpr int kThreads = 10'000;
  for (int i = 0; i < kThreads; ++i) {
    std::thread([&] {
      ThreadBuffer* buffer = ClaimThreadBuffer(scratch.get(), static_cast<uint32_t>(gettid()), kDepth);
      ASSERT_NE(buffer, nullptr);
      Bump(buffer->alloc_bytes, uint64_t{3});
    }).join();
  }
  EXPECT_LE(scratch.header().thread_count, 8u);  // a thread is joined a little before the kernel forgets its id
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < scratch.header().thread_count; ++i) {
    bytes += ThreadBufferAt(*scratch.get(), i)->alloc_bytes;
  }
  EXPECT_EQ(bytes, 3u * kThreads);
}

TEST(ThreadBuffersTest, OwnIdFromADeadThreadIsTakenOver) {
  ScratchRecording scratch;
  const auto tid = static_cast<uint32_t>(gettid());
  ThreadBuffer* buffer = ClaimThreadBuffer(scratch.get(), tid, kDepth);
  EXPECT_EQ(ClaimThreadBuffer(scratch.get(), tid, kDepth), buffer);
}

TEST(ThreadBuffersTest, WithoutRoomThereIsNoneUntilAThreadDies) {
  ScratchRecording scratch(kTestMiB);
  while (scratch->AddChunk(format::ChunkKind::kBlob) >= 0) {
  }
  EXPECT_EQ(ClaimThreadBuffer(scratch.get(), static_cast<uint32_t>(gettid()), kDepth), nullptr);
  EXPECT_EQ(scratch.header().thread_count, 0u);
}

}  // namespace
}  // namespace memtrace::core
