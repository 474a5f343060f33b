#include "injector/process_memory.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace memtrace::injector {

ProcessMemory::ProcessMemory(pid_t pid)
    : pid_(pid),
      memory_(open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDWR | O_CLOEXEC)),
      error_(memory_.ok() ? 0 : errno) {}

bool ProcessMemory::Read(uint64_t address, void* buffer, size_t size) const {
  return pread64(memory_.get(), buffer, size, static_cast<off64_t>(address)) == static_cast<ssize_t>(size);
}

bool ProcessMemory::Write(uint64_t address, const void* data, size_t size) const {
  return pwrite64(memory_.get(), data, size, static_cast<off64_t>(address)) == static_cast<ssize_t>(size);
}

std::string ProcessMemory::ReadString(uint64_t address, size_t most) const {
  std::string text;
  constexpr uint64_t kStep = 256;  // never crosses a page
  while (text.size() < most) {
    char buffer[kStep];
    const size_t size = kStep - address % kStep;
    if (!Read(address, buffer, size)) break;
    const size_t length = strnlen(buffer, size);
    text.append(buffer, length);
    if (length < size) break;
    address += size;
  }
  if (text.size() > most) text.resize(most);
  return text;
}

std::vector<RemoteMapping> ProcessMemory::Mappings() const {
  std::vector<RemoteMapping> mappings;
  FILE* file = fopen(("/proc/" + std::to_string(pid_) + "/maps").c_str(), "re");
  if (file == nullptr) return mappings;
  char* line = nullptr;
  size_t capacity = 0;
  while (getline(&line, &capacity, file) > 0) {
    RemoteMapping mapping;
    char flags[5];
    char device[16];
    uint64_t inode = 0;
    int path_at = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %15s %" SCNu64 " %n", &mapping.start, &mapping.end, flags, device,
               &inode, &path_at) < 5) {
      continue;
    }
    mapping.executable = flags[2] == 'x';
    if (inode != 0) mapping.file = std::string(device) + ":" + std::to_string(inode);
    mapping.path = line + path_at;
    while (!mapping.path.empty() && mapping.path.back() == '\n') mapping.path.pop_back();
    mappings.push_back(std::move(mapping));
  }
  free(line);
  fclose(file);
  return mappings;
}

uint64_t ProcessMemory::Auxiliary(uint64_t type) const {
  const std::string vector = ReadProcFile("/proc/" + std::to_string(pid_) + "/auxv");
  for (size_t at = 0; at + sizeof(Elf64_auxv_t) <= vector.size(); at += sizeof(Elf64_auxv_t)) {
    Elf64_auxv_t entry;
    memcpy(&entry, vector.data() + at, sizeof(entry));
    if (entry.a_type == type) return entry.a_un.a_val;
  }
  return 0;
}

std::string ReadProcFile(const std::string& path) {
  constexpr size_t kMost = 1 << 20;
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char buffer[4096];
  for (ssize_t size; text.size() < kMost && (size = read(fd, buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(size));
  }
  close(fd);
  return text;
}

std::string StatusField(pid_t pid, const std::string& field) {
  const std::string status = "\n" + ReadProcFile("/proc/" + std::to_string(pid) + "/status");
  const size_t at = status.find("\n" + field);
  if (at == std::string::npos) return "";
  const size_t begin = status.find_first_not_of(" \t", at + 1 + field.size());
  return begin == std::string::npos ? "" : status.substr(begin, status.find_first_of(" \t\n", begin) - begin);
}

std::vector<pid_t> ThreadsOf(pid_t pid) {
  std::vector<pid_t> threads;
  DIR* directory = opendir(("/proc/" + std::to_string(pid) + "/task").c_str());
  if (directory == nullptr) return threads;
  while (const dirent* entry = readdir(directory)) {
    const pid_t thread = static_cast<pid_t>(strtol(entry->d_name, nullptr, 10));
    if (thread > 0) threads.push_back(thread);
  }
  closedir(directory);
  return threads;
}

std::string NoSuchProcess(const std::string& pid) {
  return "there is no process " + pid +
         "; `ps -e` lists those there are, `docker top NAME` those of a container as the host counts them";
}

}  // namespace memtrace::injector
