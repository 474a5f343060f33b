#include "tools/symbols/elf_file.h"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "tools/common/quantity.h"

namespace memtrace::tools {
namespace {

// The section with content of that name, or nullptr.
Elf_Scn* FindSection(Elf* elf, std::string_view wanted) {
  size_t names = 0;
  if (elf_getshdrstrndx(elf, &names) != 0) return nullptr;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type == SHT_NOBITS) continue;
    const char* name = elf_strptr(elf, names, header.sh_name);
    if (name != nullptr && name == wanted) return section;
  }
  return nullptr;
}

// A name, a NUL, and the bytes of a build-id.
AlternateLink ReadAlternateLink(Elf* elf) {
  Elf_Scn* section = FindSection(elf, ".gnu_debugaltlink");
  const Elf_Data* data = section != nullptr ? elf_rawdata(section, nullptr) : nullptr;
  if (data == nullptr || data->d_buf == nullptr) return {};
  const std::string_view content(static_cast<const char*>(data->d_buf), data->d_size);
  const size_t end = content.find('\0');
  if (end == std::string_view::npos) return {};
  return {std::string(content.substr(0, end)), FormatHex(content.substr(end + 1))};
}

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) close(fd_);
}

std::optional<ElfFile> ElfFile::Open(const std::string& path) {
  // Without O_NONBLOCK a FIFO in the place of a file would stop us for ever.
  OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (fd.get() < 0 || fstat(fd.get(), &status) != 0) return std::nullopt;
  if (!S_ISREG(status.st_mode)) {
    errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    return std::nullopt;
  }
  const int64_t changed_ns = int64_t{status.st_mtim.tv_sec} * 1000000000 + status.st_mtim.tv_nsec;
  return ElfFile(path, std::move(fd), static_cast<uint64_t>(status.st_size), changed_ns);
}

ElfFile::ElfFile(std::string path, OwnedFd fd, uint64_t size, int64_t changed_ns)
    : path_(std::move(path)), fd_(std::move(fd)), size_(size), changed_ns_(changed_ns) {
  elf_version(EV_CURRENT);
  const ElfHandle elf(elf_begin(fd_.get(), ELF_C_READ_MMAP, nullptr));
  if (elf == nullptr || elf_kind(elf.get()) != ELF_K_ELF) return;
  const void* id = nullptr;
  const ssize_t id_bytes = dwelf_elf_gnu_build_id(elf.get(), &id);
  if (id_bytes > 0) build_id_ = FormatHex({static_cast<const char*>(id), static_cast<size_t>(id_bytes)});
  has_debug_info_ =
      FindSection(elf.get(), ".debug_info") != nullptr || FindSection(elf.get(), ".zdebug_info") != nullptr;
  alternate_link_ = ReadAlternateLink(elf.get());
  GElf_Word crc = 0;
  if (const char* link = dwelf_elf_gnu_debuglink(elf.get(), &crc)) debug_link_ = {link, crc};
}

std::string ElfFile::Fingerprint() const { return fmt::format("{} {} {}", path_, size_, changed_ns_); }

uint32_t ElfFile::Crc() const {
  std::array<unsigned char, 1 << 16> buffer;
  uLong crc = crc32(0, nullptr, 0);
  for (off_t at = 0;;) {
    const ssize_t n = pread(fd_.get(), buffer.data(), buffer.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return static_cast<uint32_t>(crc);
    crc = crc32(crc, buffer.data(), static_cast<uInt>(n));
    at += n;
  }
}

}  // namespace memtrace::tools
