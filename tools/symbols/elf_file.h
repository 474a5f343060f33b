// An ELF file on disk, as far as finding its symbols needs it.
#ifndef MEMTRACE_TOOLS_SYMBOLS_ELF_FILE_H_
#define MEMTRACE_TOOLS_SYMBOLS_ELF_FILE_H_

#include <libelf.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace memtrace::tools {

// A descriptor that is closed with its owner.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd();
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.Release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, ElfEnd>;

// From .gnu_debuglink: the file with the debug information.
struct DebugLink {
  std::string name;
  uint32_t crc = 0;
};
// From .gnu_debugaltlink: what several debug files have in common (dwz).
struct AlternateLink {
  std::string name;
  std::string build_id;  // hexadecimal
};

class ElfFile {
 public:
  // nullopt if `path` is no regular file that can be read, with errno set. It need not be ELF: then it has no build-id
  // and nothing else.
  static std::optional<ElfFile> Open(const std::string& path);

  const std::string& path() const { return path_; }
  const std::string& build_id() const { return build_id_; }  // hexadecimal, empty if it has none
  bool has_debug_info() const { return has_debug_info_; }
  const DebugLink& debug_link() const { return debug_link_; }
  const AlternateLink& alternate_link() const { return alternate_link_; }
  // Path, size and time of change: another text for another content.
  std::string Fingerprint() const;
  // CRC-32 of the whole content, as .gnu_debuglink has it.
  uint32_t Crc() const;
  int fd() const { return fd_.get(); }
  // Hands the descriptor over.
  int ReleaseFd() { return fd_.Release(); }

 private:
  ElfFile(std::string path, OwnedFd fd, uint64_t size, int64_t changed_ns);

  std::string path_;
  OwnedFd fd_;
  uint64_t size_;
  int64_t changed_ns_;
  std::string build_id_;
  bool has_debug_info_ = false;
  DebugLink debug_link_;
  AlternateLink alternate_link_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_ELF_FILE_H_
