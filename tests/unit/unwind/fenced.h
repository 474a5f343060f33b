#ifndef MEMTRACE_TESTS_UNIT_UNWIND_FENCED_H_
#define MEMTRACE_TESTS_UNIT_UNWIND_FENCED_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace memtrace::unwind {

// Memory between two pages that cannot be read, so that a step outside is a crash.
class Fenced {
 public:
  explicit Fenced(size_t bytes) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    inner_ = (bytes + page_ - 1) / page_ * page_;
    base_ = static_cast<char*>(mmap(nullptr, inner_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + page_, inner_, PROT_READ | PROT_WRITE);
    data_ = base_ + page_ + inner_ - bytes;  // ends at the fence
  }
  ~Fenced() { munmap(base_, inner_ + 2 * page_); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
  char* data() const { return data_; }
  uintptr_t address() const { return reinterpret_cast<uintptr_t>(data_); }

 private:
  size_t page_;
  size_t inner_;
  char* base_;
  char* data_;
};

}  // namespace memtrace::unwind

#endif  // MEMTRACE_TESTS_UNIT_UNWIND_FENCED_H_
