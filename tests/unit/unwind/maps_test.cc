#include "libmemtrace/unwind/maps.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>

namespace memtrace::unwind {
namespace {

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

TEST(UnwindMaps, ParsesLinesOfMaps) {
  Mapping mapping;
  ASSERT_TRUE(
      ParseMapping("7f00aa000000-7f00aa001000 r-xp 0001f000 08:02 173521    /a b/lib x.so (deleted)", &mapping));
  EXPECT_EQ(mapping.range.begin, 0x7f00aa000000u);
  EXPECT_EQ(mapping.range.end, 0x7f00aa001000u);
  EXPECT_EQ(mapping.offset, 0x1f000u);
  EXPECT_EQ(mapping.device, uint64_t{8} << 32 | 2);
  EXPECT_EQ(mapping.inode, 173521u);
  EXPECT_TRUE(mapping.readable && mapping.executable && !mapping.writable);
  EXPECT_TRUE(mapping.path == rt::Text("/a b/lib x.so (deleted)"));
  ASSERT_TRUE(ParseMapping("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 ", &mapping));
  EXPECT_TRUE(mapping.path.empty());
  for (const char* bad : {"", "7f00", "7f00-zz r-xp 0 08:02 1", "1-2 r 0 0:0 0", "1-2 r-xp 0 08 1"}) {
    EXPECT_FALSE(ParseMapping(bad, &mapping)) << bad;
  }
}

TEST(UnwindMaps, SameFileNeedsOne) {
  Mapping a;
  Mapping b;
  EXPECT_FALSE(a.SameFile(b)) << "memory without a file";
  a.inode = b.inode = 5;
  EXPECT_TRUE(a.SameFile(b));
  b.device = 1;
  EXPECT_FALSE(a.SameFile(b));
}

TEST(UnwindMaps, ScanComesByThisFunction) {
  const auto here = reinterpret_cast<uintptr_t>(&ParseMapping);
  const MapsLock lock;
  ASSERT_TRUE(lock.held());
  for (int round = 0; round < 2; ++round) {  // from the start each time
    MapsScan scan(lock);
    ASSERT_TRUE(scan.ok());
    Mapping mapping;
    bool found = false;
    while (!found && scan.Next(&mapping)) found = mapping.range.Contains(here);
    ASSERT_TRUE(found);
    EXPECT_TRUE(mapping.executable && !mapping.writable);
    EXPECT_NE(mapping.inode, 0u);
    EXPECT_FALSE(mapping.path.empty());
  }
}

bool IsBlocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

TEST(UnwindMaps, OneHoldsTheLockAndNoHandlerRunsMeanwhile) {
  ASSERT_FALSE(IsBlocked(SIGUSR2));
  {
    const MapsLock lock;
    ASSERT_TRUE(lock.held());
    EXPECT_TRUE(IsBlocked(SIGUSR2));
    std::thread([] {
      sigset_t all;  // inherited from the holder
      sigfillset(&all);
      pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
      const MapsLock second;
      EXPECT_FALSE(second.held());
      EXPECT_FALSE(IsBlocked(SIGUSR2)) << "who gives up has its mask back";
    }).join();
  }
  EXPECT_FALSE(IsBlocked(SIGUSR2));
  const MapsLock again;
  EXPECT_TRUE(again.held());
}

TEST(UnwindMaps, ResetFreesTheLockOfWhoIsGone) {
  const MapsLock gone;
  ASSERT_TRUE(gone.held());
  MapsLock::Reset();
  const MapsLock next;
  EXPECT_TRUE(next.held());
}

TEST(UnwindMaps, WritableRunEndsWhereMemoryCannotBeWritten) {
  auto* area = static_cast<char*>(mmap(nullptr, 5 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(area, MAP_FAILED);
  mprotect(area + kPage, 3 * kPage, PROT_READ | PROT_WRITE);
  madvise(area + 2 * kPage, kPage, MADV_DONTDUMP);  // a mapping of its own in the middle of the run
  const auto begin = reinterpret_cast<uintptr_t>(area);
  const MemoryRange run = WritableRunAround(begin + 2 * kPage + 8);
  EXPECT_EQ(run.begin, begin + kPage);
  EXPECT_EQ(run.end, begin + 4 * kPage);
  EXPECT_EQ(WritableRunAround(begin).end, 0u) << "not readable";
  EXPECT_EQ(WritableRunAround(reinterpret_cast<uintptr_t>(&ParseMapping)).end, 0u) << "not writable";
  munmap(area, 5 * kPage);
}

}  // namespace
}  // namespace memtrace::unwind
