#include "injector/container_root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "libmemtrace/format/characters.h"

namespace memtrace::injector {

ContainerRoot::ContainerRoot(const std::string& directory)
    : root_(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

ContainerRoot ContainerRoot::OfProcess(pid_t pid) { return ContainerRoot("/proc/" + std::to_string(pid) + "/root"); }

Descriptor ContainerRoot::Open(const std::string& path, uint64_t flags) const {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  // Linux 5.6. There is no way around it that a container could not trick.
  return Descriptor(static_cast<int>(syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof(how))));
}

Descriptor ContainerRoot::OpenDirectory(const std::string& path) const { return Open(path, O_RDONLY | O_DIRECTORY); }

Descriptor ContainerRoot::OpenFile(const std::string& path) const {
  // First without opening: only what then is a regular file is opened, and that through the same hold of it.
  return OpenHeld(Open(path, O_PATH));
}

Descriptor OpenHeld(const Descriptor& held) {
  struct stat status {};
  if (!held.ok() || fstat(held.get(), &status) != 0) return Descriptor();
  if (!S_ISREG(status.st_mode)) {
    errno = EPERM;
    return Descriptor();
  }
  const std::string path = "/proc/self/fd/" + std::to_string(held.get());
  return Descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

int AppendSparse(const Descriptor& to, const char* data, size_t size) {
  if (std::all_of(data, data + size, [](char c) { return c == 0; }))
    return lseek(to.get(), static_cast<off_t>(size), SEEK_CUR) < 0 ? errno : 0;
  for (size_t done = 0; done < size;) {
    const ssize_t written = write(to.get(), data + done, size - done);
    if (written < 0 && errno != EINTR) return errno;
    if (written > 0) done += static_cast<size_t>(written);
  }
  return 0;
}

int EndOfSparse(const Descriptor& to) {
  const off_t end = lseek(to.get(), 0, SEEK_CUR);
  return end < 0 || ftruncate(to.get(), end) != 0 ? errno : 0;
}

int CopyFile(const Descriptor& from, const std::string& to, uint64_t most_bytes) {
  const Descriptor out(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out.ok()) return errno;
  char buffer[65536];
  for (uint64_t copied = 0;;) {
    const ssize_t size = read(from.get(), buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return errno;
    if (size == 0) return EndOfSparse(out);
    const auto fits = static_cast<size_t>(std::min<uint64_t>(static_cast<uint64_t>(size), most_bytes - copied));
    if (const int error = AppendSparse(out, buffer, fits); error != 0) return error;
    copied += fits;
    if (fits < static_cast<size_t>(size)) {
      const int error = EndOfSparse(out);
      return error != 0 ? error : EFBIG;
    }
  }
}

std::string Printable(const std::string& text, size_t most) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    if (result.size() >= most) return result + "...";
    const std::string_view rest = std::string_view(text).substr(at);
    const size_t length = format::CharacterBytes(rest);
    if (length == 0 || format::IsUnfit(rest.substr(0, length))) {
      char escaped[8];
      snprintf(escaped, sizeof(escaped), "\\x%02x", static_cast<unsigned char>(text[at]));
      result += escaped;
      ++at;
      continue;
    }
    result.append(text, at, length);
    at += length;
  }
  return result;
}

}  // namespace memtrace::injector
