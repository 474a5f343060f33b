// The operating system without libc: thin names over raw system calls. Defaults of syscall.h
// hold: any context, no errno, negative error numbers.
#ifndef MEMTRACE_RT_OS_H_
#define MEMTRACE_RT_OS_H_

#include <cstddef>
#include <cstdint>

#include "libmemtrace/rt/text.h"

namespace memtrace::rt {

// Files. EINTR is retried, short reads and writes are continued.
int Open(const char* path, int flags, int mode = 0);  // adds O_CLOEXEC
void Close(int fd);
// Bytes read, fewer than `capacity` only at the end of the file; negative on failure.
long ReadAll(int fd, void* buffer, size_t capacity);
// 0, or the negative error number that kept the rest from being written.
int WriteAll(int fd, const void* data, size_t size);

struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint64_t modified_s = 0;  // CLOCK_REALTIME
  bool operator==(const FileIdentity& other) const { return device == other.device && inode == other.inode; }
};
bool Identify(int fd, FileIdentity* identity);
// Does not follow a link at the end of `path`.
bool IdentifyPath(const char* path, FileIdentity* identity);

// Gives a file another name, never that of an existing one. Returns 0 or a negative error number.
int RenameNoReplace(const char* from, const char* to);
void Unlink(const char* path);

// Memory. Map returns nullptr on failure.
void* Map(void* address, size_t bytes, int protection, int flags, int fd = -1, uint64_t offset = 0);
// Private, zeroed, readable and writable.
void* MapAnonymous(size_t bytes);
void Unmap(void* address, size_t bytes);

// False where reading would fault. One system call; does not disturb anything.
bool IsReadable(uintptr_t address);

// Soft limits of the process (numbers of <asm-generic/resource.h>); ~0 is none.
enum class Limit { kFileSize = 1, kLockedMemory = 8, kAddressSpace = 9 };
uint64_t SoftLimit(Limit limit);

int ProcessId();
int ThreadId();
uint64_t PageBytes();  // 4096 if the kernel does not tell
void Yield();
void SleepNanoseconds(uint64_t ns);

// For a child of any kind, also one that sends no signal at its end. Returns its id, a negative error number, or 0: it
// has not changed, and `block` is false.
long WaitForChild(long child, bool block, int* status);

enum class Clock { kRealtime = 0, kMonotonic = 1, kProcessCpu = 2, kThreadCpu = 3, kBoottime = 7 };
uint64_t NowNanoseconds(Clock clock);

// Entropy for seeds; falls back to the clock and addresses.
uint64_t RandomSeed();

// One line to standard error, in one write: "memtrace: " + text + newline.
void Complain(Text text);

// Reads a small file at once. Returns the text in `buffer`, empty if it cannot be read.
Text ReadFile(const char* path, char* buffer, size_t capacity);

// Lines of a file of any size through a small buffer. A line longer than the buffer is cut.
class LineReader {
 public:
  explicit LineReader(const char* path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  bool ok() const { return fd_ >= 0; }
  // False at the end. `*line` holds until the next call, without its newline.
  bool Next(Text* line);

 private:
  bool Fill();

  int fd_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool skipping_ = false;  // inside the tail of a line that was cut
  char buffer_[4096 + 256];
};

}  // namespace memtrace::rt

#endif  // MEMTRACE_RT_OS_H_
