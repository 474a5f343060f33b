#include "injector/collect/elf_file.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace memtrace::injector {
namespace {

constexpr uint64_t kMostNoteBytes = 65536;
constexpr unsigned kMostSections = 65535;
constexpr size_t kMostBuildIdBytes = 32;

bool ReadAt(int fd, void* buffer, size_t size, uint64_t offset) {
  return offset < (uint64_t{1} << 62) &&
         pread(fd, buffer, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
}

std::string Hex(const uint8_t* bytes, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

std::string BuildIdIn(const std::vector<uint8_t>& notes) {
  const auto padded = [](uint64_t bytes) { return (bytes + 3) & ~uint64_t{3}; };
  for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
    Elf64_Nhdr note;
    memcpy(&note, notes.data() + at, sizeof(note));
    const uint64_t name = at + sizeof(note);
    const uint64_t description = name + padded(note.n_namesz);
    const uint64_t end = description + note.n_descsz;
    if (end > notes.size()) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes.data() + name, "GNU", 4) == 0) {
      return Hex(notes.data() + description, std::min<size_t>(note.n_descsz, kMostBuildIdBytes));
    }
    at = description + padded(note.n_descsz);
  }
  return "";
}

std::string DebugLinkOf(int fd, const Elf64_Ehdr& header) {
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shstrndx >= header.e_shnum) return "";
  Elf64_Shdr names;
  if (!ReadAt(fd, &names, sizeof(names), header.e_shoff + header.e_shstrndx * sizeof(names))) return "";
  for (unsigned i = 0; i < header.e_shnum && i < kMostSections; ++i) {
    Elf64_Shdr section;
    char name[sizeof(".gnu_debuglink")];
    char link[256] = {};
    if (!ReadAt(fd, &section, sizeof(section), header.e_shoff + i * sizeof(section))) return "";
    if (section.sh_type != SHT_PROGBITS || section.sh_size >= sizeof(link)) continue;
    if (!ReadAt(fd, name, sizeof(name), names.sh_offset + section.sh_name)) continue;
    if (memcmp(name, ".gnu_debuglink", sizeof(name)) != 0) continue;
    if (!ReadAt(fd, link, section.sh_size, section.sh_offset)) return "";
    const std::string text(link);
    return text.find('/') == std::string::npos && text != "." && text != ".." ? text : "";
  }
  return "";
}

}  // namespace

ElfFacts ReadElfFacts(int fd) {
  ElfFacts facts;
  Elf64_Ehdr header;
  if (!ReadAt(fd, &header, sizeof(header), 0) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr)) {
    return facts;
  }
  for (unsigned i = 0; i < header.e_phnum && facts.build_id.empty(); ++i) {
    Elf64_Phdr segment;
    if (!ReadAt(fd, &segment, sizeof(segment), header.e_phoff + i * sizeof(segment))) break;
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMostNoteBytes) continue;
    std::vector<uint8_t> notes(segment.p_filesz);
    if (ReadAt(fd, notes.data(), notes.size(), segment.p_offset)) facts.build_id = BuildIdIn(notes);
  }
  facts.debug_link = DebugLinkOf(fd, header);
  return facts;
}

}  // namespace memtrace::injector
