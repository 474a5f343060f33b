#include "libmemtrace/rt/os.h"

#include <asm/errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/rt/recorded_tree.h"

namespace memtrace::rt {
namespace {

std::vector<std::string> ReadLines(const std::string& path) {
  std::vector<std::string> lines;
  LineReader reader(path.c_str());
  Text line;
  while (reader.Next(&line)) lines.emplace_back(line.data, line.size);
  return lines;
}

TEST(Files, WriteAndRead) {
  RecordedTree tree;
  const std::string path = tree.In("/file");
  const int fd = Open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
  ASSERT_GE(fd, 0);
  EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(WriteAll(fd, "hello", 5), 0);
  Close(fd);
  char buffer[16];
  EXPECT_TRUE(ReadFile(path.c_str(), buffer, sizeof(buffer)) == Text("hello"));
  EXPECT_TRUE(ReadFile(path.c_str(), buffer, 3) == Text("hel"));
  EXPECT_TRUE(ReadFile(tree.In("/none").c_str(), buffer, sizeof(buffer)).empty());
}

TEST(Files, FailuresAreNegativeNumbersAndErrnoStays) {
  errno = 4711;
  EXPECT_EQ(Open("/nonexistent/file", O_RDONLY), -ENOENT);
  char byte;
  EXPECT_EQ(ReadAll(-1, &byte, 1), -EBADF);
  EXPECT_EQ(WriteAll(-1, "x", 1), -EBADF);
  const int full = Open("/dev/full", O_WRONLY);
  EXPECT_EQ(WriteAll(full, "x", 1), -ENOSPC);
  Close(full);
  EXPECT_EQ(Map(nullptr, 0, 0, 0), nullptr);
  EXPECT_EQ(errno, 4711);
}

TEST(Files, ReadAllGoesOnAfterShortReads) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  std::thread writer([&] {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(WriteAll(pipe_fds[1], "abcd", 4), 0);
      SleepNanoseconds(2000000);
    }
    Close(pipe_fds[1]);
  });
  char buffer[64];
  EXPECT_EQ(ReadAll(pipe_fds[0], buffer, sizeof(buffer)), 12);
  writer.join();
  Close(pipe_fds[0]);
}

TEST(Files, Identity) {
  RecordedTree tree;
  tree.Write("/a", "12345").Write("/b", "");
  ASSERT_EQ(symlink("a", tree.In("/link").c_str()), 0);
  FileIdentity a;
  FileIdentity b;
  FileIdentity link;
  FileIdentity open;
  ASSERT_TRUE(IdentifyPath(tree.In("/a").c_str(), &a));
  ASSERT_TRUE(IdentifyPath(tree.In("/b").c_str(), &b));
  ASSERT_TRUE(IdentifyPath(tree.In("/link").c_str(), &link));
  EXPECT_EQ(a.size, 5u);
  EXPECT_EQ(a.uid, getuid());
  EXPECT_FALSE(a == b);
  EXPECT_FALSE(a == link);
  const int fd = Open(tree.In("/link").c_str(), O_RDONLY);
  ASSERT_TRUE(Identify(fd, &open));
  EXPECT_TRUE(a == open);
  Close(fd);
  EXPECT_FALSE(IdentifyPath(tree.In("/none").c_str(), &a));
}

TEST(Memory, Readable) {
  const uint64_t page = PageBytes();
  EXPECT_EQ(page, static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  char* memory = static_cast<char*>(MapAnonymous(3 * page));
  ASSERT_NE(memory, nullptr);
  const auto address = reinterpret_cast<uintptr_t>(memory);
  ASSERT_EQ(mprotect(memory + page, page, PROT_NONE), 0);
  Unmap(memory + 2 * page, page);
  EXPECT_TRUE(IsReadable(address));
  EXPECT_TRUE(IsReadable(address + page - 1));
  EXPECT_FALSE(IsReadable(address + page));
  EXPECT_FALSE(IsReadable(address + 2 * page));
  EXPECT_FALSE(IsReadable(8));
  Unmap(memory, 2 * page);
}

TEST(Process, NumbersAndClocks) {
  EXPECT_EQ(ProcessId(), getpid());
  int other = 0;
  std::thread([&] { other = ThreadId(); }).join();
  EXPECT_NE(other, ThreadId());
  const uint64_t before = NowNanoseconds(Clock::kMonotonic);
  SleepNanoseconds(1000000);
  EXPECT_GE(NowNanoseconds(Clock::kMonotonic), before + 1000000);
  EXPECT_GT(NowNanoseconds(Clock::kRealtime), uint64_t{1600000000} * 1000000000);
  EXPECT_NE(RandomSeed(), RandomSeed());
}

TEST(LineReader, Lines) {
  RecordedTree tree;
  tree.Write("/file", "one\n\nthree\nlast without newline").Write("/empty", "");
  EXPECT_EQ(ReadLines(tree.In("/file")), (std::vector<std::string>{"one", "", "three", "last without newline"}));
  EXPECT_TRUE(ReadLines(tree.In("/empty")).empty());
  EXPECT_TRUE(ReadLines(tree.In("/none")).empty());
}

TEST(LineReader, LongLinesAreCutAndTheNextOnesWhole) {
  constexpr size_t kBuffer = 4096 + 256;
  for (const size_t length : {kBuffer - 1, kBuffer, kBuffer + 1, 3 * kBuffer}) {
    RecordedTree tree;
    tree.Write("/file", "first\n" + std::string(length, 'x') + "\nafter\n");
    const auto lines = ReadLines(tree.In("/file"));
    ASSERT_EQ(lines.size(), 3u) << length;
    EXPECT_EQ(lines[0], "first");
    EXPECT_GE(lines[1].size(), std::min(length, kBuffer - 8)) << length;
    EXPECT_EQ(lines[1].find_first_not_of('x'), std::string::npos);
    EXPECT_EQ(lines[2], "after");
  }
}

TEST(LineReader, ManyLinesAcrossTheBuffer) {
  RecordedTree tree;
  std::string content;
  for (int i = 0; i < 5000; ++i) content += "line " + std::to_string(i) + "\n";
  tree.Write("/file", content);
  const auto lines = ReadLines(tree.In("/file"));
  ASSERT_EQ(lines.size(), 5000u);
  for (int i = 0; i < 5000; ++i) EXPECT_EQ(lines[static_cast<size_t>(i)], "line " + std::to_string(i));
}

}  // namespace
}  // namespace memtrace::rt
