#include "injector/collect/tar_stream.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "injector/container_root.h"

namespace memtrace::injector {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kMostNameBytes = 64 * 1024;

// A program whose standard output is read; ended when the reader is.
class Child {
 public:
  explicit Child(const std::vector<std::string>& command) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) pid_ = 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_ = Descriptor(ends[0]);
  }
  ~Child() { Finish(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // All of `size`, less only at the end.
  size_t Read(void* buffer, size_t size) {
    size_t done = 0;
    while (pid_ > 0 && done < size) {
      const ssize_t got = read(output_.get(), static_cast<char*>(buffer) + done, size - done);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  // Whether it succeeded; one that still writes is ended.
  bool Finish() {
    if (pid_ <= 0) return false;
    output_ = Descriptor();
    int status = 1;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return status == 0;
  }

 private:
  pid_t pid_ = 0;
  Descriptor output_;
};

// Octal, or, of large files, the low bytes of a field whose first bit is set.
uint64_t Number(const char* field, size_t size) {
  uint64_t number = 0;
  const bool binary = (static_cast<unsigned char>(field[0]) & 0x80) != 0;
  for (size_t i = binary ? size - 8 : 0; i < size; ++i) {
    if (binary) {
      number = number << 8 | static_cast<unsigned char>(field[i]);
    } else if (field[i] >= '0' && field[i] <= '7') {
      number = number << 3 | static_cast<uint64_t>(field[i] - '0');
    }
  }
  return number;
}

// "LENGTH path=NAME\n" among the records of a pax header.
std::string PaxPath(const std::string& records) {
  const size_t at = records.find(" path=");
  if (at == std::string::npos) return "";
  return records.substr(at + 6, records.find('\n', at) - at - 6);
}

class Tar {
 public:
  explicit Tar(Child* child) : child_(*child) {}

  // The next regular file; its content must be read or skipped before the one after. False at the end.
  bool Next(std::string* name, uint64_t* size) {
    std::string long_name;
    char header[kBlock];
    while (child_.Read(header, sizeof(header)) == sizeof(header) && header[0] != '\0') {
      if (memcmp(header + 257, "ustar", 5) != 0) return false;
      *size = Number(header + 124, 12);
      const char type = header[156];
      if (type == 'x' || type == 'L') {
        if (*size > kMostNameBytes) return false;
        std::string content(*size, '\0');
        if (child_.Read(content.data(), content.size()) != content.size() || !Skip(Padding(*size))) return false;
        long_name = type == 'x' ? PaxPath(content) : std::string(content.c_str());
        continue;
      }
      if (type == '0' || type == '\0') {
        *name = long_name.empty() ? std::string(header, strnlen(header, 100)) : long_name;
        is_archive_ = true;
        return true;
      }
      is_archive_ = true;
      long_name.clear();
      if (!Skip(*size + Padding(*size))) return false;
    }
    return false;
  }

  bool Skip(uint64_t bytes) {
    char buffer[65536];
    while (bytes > 0) {
      const size_t size = std::min<uint64_t>(bytes, sizeof(buffer));
      if (child_.Read(buffer, size) != size) return false;
      bytes -= size;
    }
    return true;
  }

  // 0 or an error number; EPIPE: the archive ends in the middle.
  int CopyTo(const Descriptor& file, uint64_t bytes) {
    char buffer[65536];
    while (bytes > 0) {
      const size_t size = std::min<uint64_t>(bytes, sizeof(buffer));
      if (child_.Read(buffer, size) != size) return EPIPE;
      if (const int error = AppendSparse(file, buffer, size); error != 0) return error;
      bytes -= size;
    }
    return EndOfSparse(file);
  }

  static uint64_t Padding(uint64_t size) { return (kBlock - size % kBlock) % kBlock; }
  bool is_archive() const { return is_archive_; }

 private:
  Child& child_;
  bool is_archive_ = false;
};

}  // namespace

bool ReadTar(const std::vector<std::string>& command, uint64_t most_bytes,
             const std::function<std::string(const std::string&)>& place, int* error) {
  Child child(command);
  Tar tar(&child);
  std::string name;
  uint64_t size = 0;
  bool whole = true;
  while (whole && tar.Next(&name, &size)) {
    const std::string path = size <= most_bytes ? place(name) : "";
    if (!path.empty()) {
      const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      const int failure = file.ok() ? tar.CopyTo(file, size) : errno;
      if (failure != 0 && file.ok()) unlink(path.c_str());
      if (error != nullptr) *error = failure;
      whole = failure == 0;
      most_bytes -= size;
    } else {
      whole = tar.Skip(size);
    }
    whole = whole && tar.Skip(Tar::Padding(size));
  }
  return child.Finish() || (tar.is_archive() && whole);
}

bool ReadOutput(const std::vector<std::string>& command, uint64_t most_bytes, std::string* output) {
  Child child(command);
  char buffer[65536];
  for (size_t got; output->size() < most_bytes && (got = child.Read(buffer, sizeof(buffer))) > 0;) {
    output->append(buffer, std::min<uint64_t>(got, most_bytes - output->size()));
  }
  return child.Finish();
}

}  // namespace memtrace::injector
