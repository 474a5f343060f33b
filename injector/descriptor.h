#ifndef MEMTRACE_INJECTOR_DESCRIPTOR_H_
#define MEMTRACE_INJECTOR_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace memtrace::injector {

// A descriptor, closed at the end of its life.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_DESCRIPTOR_H_
