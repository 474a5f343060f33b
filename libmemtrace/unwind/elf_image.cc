#include "libmemtrace/unwind/elf_image.h"

#include <fcntl.h>

#include "libmemtrace/rt/os.h"
#include "libmemtrace/rt/syscall.h"
#include "libmemtrace/unwind/arch.h"

namespace memtrace::unwind {
namespace {

constexpr uintptr_t kSmallestPage = 4096;
constexpr uint32_t kBuildIdNote = 3;   // NT_GNU_BUILD_ID
constexpr uint32_t kGnu = 0x00554e47;  // "GNU\0"

bool IsOurs(const Elf64_Ehdr& header) {
  bool good = true;
  for (int i = 0; i < SELFMAG; ++i) good &= header.e_ident[i] == static_cast<unsigned char>(ELFMAG[i]);
  return good && header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_machine == arch::kElfMachine &&
         (header.e_type == ET_EXEC || header.e_type == ET_DYN) && header.e_phentsize == sizeof(Elf64_Phdr);
}

int SegmentCount(const Elf64_Ehdr& header) {
  return header.e_phnum < ElfHeaders::kMaxSegments ? header.e_phnum : ElfHeaders::kMaxSegments;
}

void Include(MemoryRange* range, uintptr_t begin, uintptr_t end) {
  if (range->end == 0 || begin < range->begin) range->begin = begin;
  if (end > range->end) range->end = end;
}

bool FindBias(const ElfHeaders& headers, uintptr_t address, uint64_t offset, bool executable, uintptr_t* bias) {
  for (int i = 0; i < headers.count; ++i) {
    const Elf64_Phdr& segment = headers.segments[i];
    const bool same_rights = ((segment.p_flags & PF_X) != 0) == executable;
    const uint64_t begin = segment.p_offset & ~(kSmallestPage - 1);
    if (segment.p_type != PT_LOAD || !same_rights || offset < begin) continue;
    if (offset - segment.p_offset >= segment.p_filesz && offset >= segment.p_offset) continue;
    *bias = address - offset + segment.p_offset - segment.p_vaddr;
    return true;
  }
  return false;
}

}  // namespace

bool ReadElfHeaders(MemoryRange memory, ElfHeaders* headers) {
  ByteReader reader(memory, memory.begin);
  headers->file = reader.Read<Elf64_Ehdr>();
  if (!reader.ok() || !IsOurs(headers->file)) return false;
  reader.Seek(memory.begin + headers->file.e_phoff);
  headers->count = SegmentCount(headers->file);
  for (int i = 0; i < headers->count; ++i) headers->segments[i] = reader.Read<Elf64_Phdr>();
  return reader.ok();
}

bool ReadElfHeaders(const char* path, ElfHeaders* headers) {
  const int fd = rt::Open(path, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return false;
  bool good = rt::ReadAll(fd, &headers->file, sizeof(headers->file)) == sizeof(headers->file) && IsOurs(headers->file);
  if (good) {
    headers->count = SegmentCount(headers->file);
    const long bytes = headers->count * static_cast<long>(sizeof(Elf64_Phdr));
    good = rt::Syscall(__NR_pread64, fd, rt::Address(headers->segments), bytes,
                       static_cast<long>(headers->file.e_phoff)) == bytes;
  }
  rt::Close(fd);
  return good;
}

bool LayOutElf(const ElfHeaders& headers, uintptr_t address, uint64_t offset, bool executable, ElfImage* image) {
  if (!FindBias(headers, address, offset, executable, &image->bias)) return false;
  for (int i = 0; i < headers.count; ++i) {
    const Elf64_Phdr& segment = headers.segments[i];
    const uintptr_t begin = image->bias + segment.p_vaddr;
    const uintptr_t end = begin + segment.p_memsz;
    if (end < begin) return false;
    if (segment.p_type == PT_LOAD) Include(&image->whole, begin & ~(kSmallestPage - 1), end);
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0) Include(&image->code, begin, end);
    if (segment.p_type == PT_GNU_EH_FRAME) image->unwind_header = begin;
    if (segment.p_type == PT_NOTE && image->note_count < 4) image->notes[image->note_count++] = {begin, end};
  }
  return image->code.end != 0;
}

uint32_t FindBuildId(MemoryRange notes, uint8_t* build_id, uint32_t capacity) {
  ByteReader reader(notes, notes.begin);
  while (!reader.AtEnd()) {
    const auto name_bytes = reader.Read<uint32_t>();
    const auto bytes = reader.Read<uint32_t>();
    const auto type = reader.Read<uint32_t>();
    const uint32_t name = name_bytes == 4 ? reader.Read<uint32_t>() : 0;
    if (name_bytes != 4) reader.Skip((uint64_t{name_bytes} + 3) & ~uint64_t{3});
    if (name == kGnu && type == kBuildIdNote && reader.ok() && reader.range().Contains(reader.position(), bytes)) {
      const uint32_t kept = bytes < capacity ? bytes : capacity;
      for (uint32_t i = 0; i < kept; ++i) build_id[i] = reader.Read<uint8_t>();
      return kept;
    }
    reader.Skip((uint64_t{bytes} + 3) & ~uint64_t{3});
  }
  return 0;
}

}  // namespace memtrace::unwind
