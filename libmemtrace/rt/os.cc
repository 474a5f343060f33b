#include "libmemtrace/rt/os.h"

#include <asm/errno.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "libmemtrace/rt/syscall.h"

namespace memtrace::rt {
namespace {

// struct timespec of 64-bit kernels.
struct KernelTime {
  int64_t seconds;
  int64_t nanoseconds;
};

constexpr int kAtFdCwd = -100;
constexpr int kAtSymlinkNoFollow = 0x100;

bool FromStat(long result, const struct stat& status, FileIdentity* identity) {
  if (IsError(result)) return false;
  identity->device = static_cast<uint64_t>(status.st_dev);
  identity->inode = static_cast<uint64_t>(status.st_ino);
  identity->size = static_cast<uint64_t>(status.st_size);
  identity->mode = status.st_mode;
  identity->uid = status.st_uid;
  identity->modified_s = static_cast<uint64_t>(status.st_mtim.tv_sec);
  return true;
}

}  // namespace

int Open(const char* path, int flags, int mode) {
  long fd;
  do {
    fd = Syscall(__NR_openat, kAtFdCwd, Address(path), flags | O_CLOEXEC, mode);
  } while (fd == -EINTR);
  return static_cast<int>(fd);
}

void Close(int fd) { Syscall(__NR_close, fd); }

long ReadAll(int fd, void* buffer, size_t capacity) {
  size_t done = 0;
  while (done < capacity) {
    const long n =
        Syscall(__NR_read, fd, Address(static_cast<char*>(buffer) + done), static_cast<long>(capacity - done));
    if (n == -EINTR) continue;
    if (IsError(n)) return done > 0 ? static_cast<long>(done) : n;
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<long>(done);
}

int WriteAll(int fd, const void* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const long n =
        Syscall(__NR_write, fd, Address(static_cast<const char*>(data) + done), static_cast<long>(size - done));
    if (n == -EINTR) continue;
    if (n <= 0) return n < 0 ? static_cast<int>(n) : -EIO;
    done += static_cast<size_t>(n);
  }
  return 0;
}

bool Identify(int fd, FileIdentity* identity) {
  struct stat status {};
  return FromStat(Syscall(__NR_fstat, fd, Address(&status)), status, identity);
}

bool IdentifyPath(const char* path, FileIdentity* identity) {
  struct stat status {};
  return FromStat(Syscall(__NR_newfstatat, kAtFdCwd, Address(path), Address(&status), kAtSymlinkNoFollow), status,
                  identity);
}

int RenameNoReplace(const char* from, const char* to) {
  constexpr int kNoReplace = 1;
  const long result = Syscall(__NR_renameat2, kAtFdCwd, Address(from), kAtFdCwd, Address(to), kNoReplace);
  if (result != -EINVAL && result != -ENOSYS) return static_cast<int>(result);
  // File systems without the flag, Linux before 3.15.
  FileIdentity existing;
  if (IdentifyPath(to, &existing)) return -EEXIST;
  return static_cast<int>(Syscall(__NR_renameat, kAtFdCwd, Address(from), kAtFdCwd, Address(to)));
}

void Unlink(const char* path) { Syscall(__NR_unlinkat, kAtFdCwd, Address(path), 0); }

void* Map(void* address, size_t bytes, int protection, int flags, int fd, uint64_t offset) {
  const long result =
      Syscall(__NR_mmap, Address(address), static_cast<long>(bytes), protection, flags, fd, static_cast<long>(offset));
  return IsError(result) ? nullptr : reinterpret_cast<void*>(result);
}

void* MapAnonymous(size_t bytes) { return Map(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS); }

void Unmap(void* address, size_t bytes) { Syscall(__NR_munmap, Address(address), static_cast<long>(bytes)); }

bool IsReadable(uintptr_t address) {
  if (address < 4096) return false;  // to the system call a null pointer means something else
  // The kernel reads the new signal mask before it looks at the operation, which is invalid: EFAULT
  // means unreadable, EINVAL readable (kernel/signal.c since 2.6; also allowed by strict seccomp filters).
  const long result = Syscall(__NR_rt_sigprocmask, ~0L, static_cast<long>(address & ~uintptr_t{7}), 0, 8);
  return result != -EFAULT;
}

uint64_t SoftLimit(Limit limit) {
  struct {
    uint64_t soft;
    uint64_t hard;
  } value = {~uint64_t{0}, ~uint64_t{0}};
  Syscall(__NR_prlimit64, 0, static_cast<long>(limit), 0, Address(&value));
  return value.soft;
}

int ProcessId() { return static_cast<int>(Syscall(__NR_getpid)); }
int ThreadId() { return static_cast<int>(Syscall(__NR_gettid)); }

uint64_t PageBytes() {
  static uint64_t known = 0;
  uint64_t page = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (page != 0) return page;
  page = 4096;
  const int fd = Open("/proc/self/auxv", O_RDONLY);
  if (fd >= 0) {
    Elf64_auxv_t entries[64];
    const long size = ReadAll(fd, entries, sizeof(entries));
    for (long i = 0; i < size / static_cast<long>(sizeof(entries[0])); ++i) {
      if (entries[i].a_type == AT_PAGESZ) page = entries[i].a_un.a_val;
    }
    Close(fd);
  }
  __atomic_store_n(&known, page, __ATOMIC_RELAXED);
  return page;
}

void Yield() { Syscall(__NR_sched_yield); }

void SleepNanoseconds(uint64_t ns) {
  const KernelTime duration{static_cast<int64_t>(ns / 1000000000), static_cast<int64_t>(ns % 1000000000)};
  Syscall(__NR_nanosleep, Address(&duration), 0);
}

long WaitForChild(long child, bool block, int* status) {
  constexpr long kNoHang = 1;
  constexpr long kAnyKind = 0x40000000;  // __WALL
  return Syscall(__NR_wait4, child, Address(status), kAnyKind | (block ? 0 : kNoHang), 0);
}

uint64_t NowNanoseconds(Clock clock) {
  KernelTime now{};
  Syscall(__NR_clock_gettime, static_cast<long>(clock), Address(&now));
  return static_cast<uint64_t>(now.seconds) * 1000000000 + static_cast<uint64_t>(now.nanoseconds);
}

uint64_t RandomSeed() {
  uint64_t seed = 0;
  constexpr int kNonBlocking = 1;
  if (Syscall(__NR_getrandom, Address(&seed), sizeof(seed), kNonBlocking) != sizeof(seed)) {
    seed = NowNanoseconds(Clock::kMonotonic) ^ reinterpret_cast<uintptr_t>(&seed) ^
           static_cast<uint64_t>(ThreadId()) << 40;
  }
  return seed;
}

void Complain(Text text) {
  TextBuffer<512> line;
  line.Add("memtrace: ").AddShown(text.First(480)).Add('\n');
  WriteAll(2, line.text().data, line.text().size);
}

Text ReadFile(const char* path, char* buffer, size_t capacity) {
  const int fd = Open(path, O_RDONLY);
  if (fd < 0) return {};
  const long size = ReadAll(fd, buffer, capacity);
  Close(fd);
  return size > 0 ? Text(buffer, static_cast<size_t>(size)) : Text();
}

LineReader::LineReader(const char* path) : fd_(Open(path, O_RDONLY)) {}

LineReader::~LineReader() {
  if (fd_ >= 0) Close(fd_);
}

bool LineReader::Fill() {
  if (begin_ > 0) {
    for (size_t i = begin_; i < end_; ++i) buffer_[i - begin_] = buffer_[i];
    end_ -= begin_;
    begin_ = 0;
  }
  long n;
  do {
    n = Syscall(__NR_read, fd_, Address(buffer_ + end_), static_cast<long>(sizeof(buffer_) - end_));
  } while (n == -EINTR);
  if (n <= 0) return false;
  end_ += static_cast<size_t>(n);
  return true;
}

bool LineReader::Next(Text* line) {
  while (ok()) {
    const Text pending(buffer_ + begin_, end_ - begin_);
    const size_t newline = Find(pending, '\n');
    const bool full = newline == kNotFound && pending.size == sizeof(buffer_);
    if (newline == kNotFound && !full) {
      if (Fill()) continue;
      *line = Text(buffer_ + begin_, end_ - begin_);  // Fill may have moved it
      begin_ = end_;
      return !line->empty() && !skipping_;
    }
    const bool tail = skipping_;
    skipping_ = full;
    begin_ += full ? pending.size : newline + 1;
    if (tail) continue;
    *line = full ? pending : pending.First(newline);
    return true;
  }
  return false;
}

}  // namespace memtrace::rt
