#include "injector/load_library.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "injector/container_root.h"

namespace memtrace::injector {
namespace {

// Where a file may be put, if programs may be run from there.
constexpr const char* kPlaces[] = {"/tmp", "/var/tmp", "/run", "/dev/shm", "/"};

struct Loader {
  uint64_t open = 0;
  uint64_t open_flags = RTLD_NOW;
  uint64_t error = 0;  // dlerror
};

uint64_t FindFunction(const LoadedModules& modules, const char* name) {
  for (const RemoteModule& module : modules.modules) {
    if (const auto symbol = module.Find(name)) return symbol->address;
  }
  return 0;
}

Loader FindLoader(const LoadedModules& modules) {
  Loader loader;
  loader.open = FindFunction(modules, "dlopen");
  loader.error = FindFunction(modules, "dlerror");
  if (loader.open != 0) return loader;
  // glibc before 2.34, in a program without libdl: what libc itself loads name services and converters with.
  loader.open = FindFunction(modules, "__libc_dlopen_mode");
  loader.open_flags = RTLD_NOW | 0x80000000;
  loader.error = 0;
  return loader;
}

Problem Open(RemoteThread* thread, const Loader& loader, const std::string& path) {
  const uint64_t name = thread->Put(path);
  int64_t handle = 0;
  if (name == 0) return "no room for the path of the library";
  Problem problem = thread->Call(loader.open, {name, loader.open_flags}, &handle);
  if (!problem.empty() || handle != 0) return problem;
  int64_t text = 0;
  if (loader.error == 0 || !thread->Call(loader.error, {}, &text).empty() || text == 0) return "dlopen refused " + path;
  return Printable(thread->memory().ReadString(static_cast<uint64_t>(text), 512));
}

// The process's own descriptor, with the rights that it has: another of its threads may have put something else there.
Descriptor ShareDescriptor(pid_t pid, int fd) {
  const Descriptor process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  Descriptor shared(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), fd, 0)));
  if (shared.ok() || (errno != ENOSYS && process.ok())) return shared;
  // Before Linux 5.6 it must be opened, with our rights: only if it is an empty file in memory that has no name.
  Descriptor opened(open(("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_CLOEXEC));
  struct stat status {};
  const bool is_ours = opened.ok() && fstat(opened.get(), &status) == 0 && S_ISREG(status.st_mode) &&
                       status.st_nlink == 0 && status.st_size == 0 && fcntl(opened.get(), F_GET_SEALS) >= 0;
  return is_ours ? std::move(opened) : Descriptor();
}

Problem LoadFromMemory(RemoteThread* thread, const Loader& loader, const Descriptor& library) {
  const uint64_t name = thread->Put(std::string("libmemtrace.so"));
  int64_t fd = -1;
  Problem problem = thread->Syscall(SYS_memfd_create, {name, MFD_CLOEXEC}, &fd);
  if (!problem.empty()) return problem;
  if (fd < 0) return std::string("memfd_create: ") + strerror(static_cast<int>(-fd));
  const std::string number = std::to_string(fd);
  const Descriptor file = ShareDescriptor(thread->memory().pid(), static_cast<int>(fd));
  struct stat status {};
  fstat(library.get(), &status);
  off_t at = 0;
  while (file.ok() && at < status.st_size) {
    char buffer[65536];
    const ssize_t size = pread(library.get(), buffer, sizeof(buffer), at);
    if (size <= 0 || write(file.get(), buffer, static_cast<size_t>(size)) != size) break;
    at += size;
  }
  if (at != status.st_size || at == 0) problem = "the library could not be copied into the process";
  // Not the usual spelling: the loader takes two libraries of one name for one, and the program may open other memory
  // files under the same number.
  if (problem.empty()) problem = Open(thread, loader, "/proc/./self/fd/" + number);
  int64_t unused = 0;
  thread->Syscall(SYS_close, {static_cast<uint64_t>(fd)}, &unused);
  return problem;
}

// Only root of the container could exchange a file there.
bool IsSafePlace(const Descriptor& directory) {
  struct stat status {};
  struct statvfs system {};
  if (fstat(directory.get(), &status) != 0 || fstatvfs(directory.get(), &system) != 0) return false;
  const bool open_to_all = (status.st_mode & (S_IWOTH | S_IWGRP)) != 0 && (status.st_mode & S_ISVTX) == 0;
  return !open_to_all && (system.f_flag & (ST_NOEXEC | ST_RDONLY)) == 0;
}

Problem LoadFromFile(RemoteThread* thread, const Loader& loader, const std::string& library) {
  const ContainerRoot root = ContainerRoot::OfProcess(thread->memory().pid());
  const std::string name = ".memtrace-" + std::to_string(std::random_device()()) + ".so";
  Problem problem = "no directory of the process takes a file that may be executed (/tmp, /var/tmp, /run, /dev/shm)";
  for (const std::string place : kPlaces) {
    const Descriptor directory = root.OpenDirectory(place);
    if (!directory.ok() || !IsSafePlace(directory)) continue;
    const std::string here = "/proc/self/fd/" + std::to_string(directory.get()) + "/" + name;
    const int error = CopyFile(Descriptor(open(library.c_str(), O_RDONLY | O_CLOEXEC)), here, uint64_t{1} << 30);
    if (error == 0) {
      // By the name in the descriptor's directory, which nobody can lead astray.
      fchmodat(directory.get(), name.c_str(), 0755, 0);
      problem = Open(thread, loader, (place == "/" ? "/" : place + "/") + name);
    }
    unlinkat(directory.get(), name.c_str(), 0);
    if (error == 0 && problem.empty()) break;
  }
  return problem;
}

}  // namespace

std::optional<LibraryInTarget> FindLibraryIn(const ProcessMemory& memory, const LoadedModules& modules) {
  for (size_t i = 0; i < modules.modules.size(); ++i) {
    const uint64_t note = modules.modules[i].FindNote("memtrace", format::kControlNote);
    int32_t distances[2];
    if (note == 0 || !memory.Read(note, distances, sizeof(distances))) continue;
    LibraryInTarget library{i,
                            note + static_cast<uint64_t>(int64_t{distances[0]}),
                            note + 4 + static_cast<uint64_t>(int64_t{distances[1]}),
                            {}};
    if (memory.ReadObject(library.block_at, &library.block)) return library;
  }
  return std::nullopt;
}

Problem LoadLibrary(RemoteThread* thread, const LoadedModules& modules, const std::string& library) {
  const Descriptor file(open(library.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return "cannot read " + library + ": " + strerror(errno);
  const Loader loader = FindLoader(modules);
  if (loader.open == 0) return "the process has no dlopen";
  thread->SaveErrno(FindFunction(modules, "__errno_location"));
  Problem from_memory = "a seccomp filter is in force";
  if (!thread->filtered()) {
    from_memory = LoadFromMemory(thread, loader, file);
    if (from_memory.empty()) return "";
  }
  const Problem from_file = LoadFromFile(thread, loader, library);
  if (from_file.empty()) return "";
  return "the library could not be loaded from memory (" + from_memory + ") nor from a file (" + from_file + ")";
}

}  // namespace memtrace::injector
