#include "injector/elf_probe.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <string_view>

#include "injector/descriptor.h"

namespace memtrace::injector {
namespace {

#if defined(__x86_64__)
constexpr unsigned kMachine = EM_X86_64;
#else
constexpr unsigned kMachine = EM_AARCH64;
#endif

// The kernel gives up after so many interpreters (exec_binprm in fs/exec.c).
constexpr int kMaxInterpreters = 5;
constexpr unsigned kMaxProgramHeaders = 1024;

struct MachineName {
  unsigned machine;
  const char* name;
};
constexpr MachineName kMachines[] = {
    {EM_386, "32-bit x86"}, {EM_X86_64, "x86-64"}, {EM_ARM, "32-bit ARM"}, {EM_AARCH64, "arm64"},
    {EM_RISCV, "RISC-V"},   {EM_PPC64, "POWER"},   {EM_S390, "IBM Z"},
};

class File {
 public:
  explicit File(const std::string& path) : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}

  int fd() const { return file_.get(); }
  // Bytes read; 0 on failure.
  size_t ReadAt(void* buffer, size_t size, uint64_t offset) const {
    const ssize_t n = pread(fd(), buffer, size, static_cast<off_t>(offset));
    return n > 0 ? static_cast<size_t>(n) : 0;
  }

 private:
  Descriptor file_;
};

std::string Name(unsigned machine) {
  for (const MachineName& known : kMachines) {
    if (known.machine == machine) return known.name;
  }
  return "machine " + std::to_string(machine);
}

// The kernel takes what follows "#!" up to a blank or the end of the line.
std::string Interpreter(std::string_view head) {
  head = head.substr(2, head.find('\n') - 2);
  const size_t begin = head.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return "";
  head.remove_prefix(begin);
  return std::string(head.substr(0, head.find_first_of(" \t")));
}

// Why executing the file raises privileges (AT_SECURE); empty if it does not.
std::string Privilege(const File& file) {
  struct stat status {};
  if (fstat(file.fd(), &status) != 0) return "";
  if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) return "set-uid";
  const bool group_executable = (status.st_mode & S_IXGRP) != 0;
  if ((status.st_mode & S_ISGID) != 0 && group_executable && status.st_gid != getgid()) return "set-gid";
  if (getuid() != 0 && fgetxattr(file.fd(), "security.capability", nullptr, 0) > 0) return "given file capabilities";
  return "";
}

// The loader that the program headers name; empty if none.
std::string Loader(const File& file, const Elf64_Ehdr& header) {
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > kMaxProgramHeaders) return "";
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (file.ReadAt(&segment, sizeof(segment), header.e_phoff + i * sizeof(segment)) != sizeof(segment)) return "";
    if (segment.p_type != PT_INTERP) continue;
    char path[PATH_MAX];
    const size_t size = file.ReadAt(path, std::min<uint64_t>(segment.p_filesz, sizeof(path)), segment.p_offset);
    return {path, strnlen(path, size)};
  }
  return "";
}

void ProbeElf(const File& file, const Elf64_Ehdr& header, Probe* probe) {
  const bool is_64_bit = header.e_ident[EI_CLASS] == ELFCLASS64;
  if (!is_64_bit || header.e_machine != kMachine) {
    probe->visibility = Visibility::kForeign;
    probe->detail = Name(header.e_machine) + (is_64_bit || header.e_machine != kMachine ? "" : " with 32-bit pointers");
    return;
  }
  probe->loader = Loader(file, header);
  probe->detail = Privilege(file);
  if (probe->loader.empty()) {
    probe->visibility = Visibility::kStatic;
  } else {
    probe->visibility = probe->detail.empty() ? Visibility::kVisible : Visibility::kPrivileged;
  }
}

}  // namespace

Probe ProbeProgram(const std::string& path) {
  Probe probe;
  probe.file = path;
  for (int depth = 0; depth <= kMaxInterpreters; ++depth) {
    const File file(probe.file);
    // Also what the kernel reads to tell scripts from programs (BINPRM_BUF_SIZE).
    char head[256];
    const size_t size = file.ReadAt(head, sizeof(head), 0);
    if (size == 0) return probe;
    if (size >= 2 && memcmp(head, "#!", 2) == 0) {
      probe.file = Interpreter({head, size});
      if (probe.file.empty()) break;
      continue;
    }
    Elf64_Ehdr header{};
    memcpy(&header, head, std::min(size, sizeof(header)));
    probe.visibility = Visibility::kNotElf;
    if (size >= sizeof(header) && memcmp(head, ELFMAG, SELFMAG) == 0) ProbeElf(file, header, &probe);
    return probe;
  }
  probe.visibility = Visibility::kNotElf;
  return probe;
}

std::string Explain(const Probe& probe) {
  switch (probe.visibility) {
    case Visibility::kStatic:
      return probe.file + " is statically linked: no library can be preloaded into it, nothing will be recorded";
    case Visibility::kPrivileged:
      return probe.file + " is " + probe.detail + ": the loader refuses to preload for it, nothing will be recorded";
    case Visibility::kForeign:
      return probe.file + " is a program for " + probe.detail + ", the library for " + Name(kMachine) +
             ": nothing will be recorded";
    case Visibility::kVisible:
    case Visibility::kNotElf:
    case Visibility::kUnreadable:
      return "";
  }
  return "";
}

}  // namespace memtrace::injector
