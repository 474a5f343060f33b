// ELF files as the loader has put them into memory.
#ifndef MEMTRACE_UNWIND_ELF_IMAGE_H_
#define MEMTRACE_UNWIND_ELF_IMAGE_H_

#include <elf.h>

#include <cstdint>

#include "libmemtrace/unwind/memory.h"

namespace memtrace::unwind {

// Headers, copied from memory or from a file. Untrusted.
struct ElfHeaders {
  static constexpr int kMaxSegments = 32;
  Elf64_Ehdr file;
  Elf64_Phdr segments[kMaxSegments];
  int count = 0;
};

// Reads from `memory`, which starts with the first byte of the file.
bool ReadElfHeaders(MemoryRange memory, ElfHeaders* headers);
// Reads the file itself, where the loader has not mapped its first page.
bool ReadElfHeaders(const char* path, ElfHeaders* headers);

// What an image consists of; addresses are those of the process.
struct ElfImage {
  uintptr_t bias = 0;           // address in the process - address in the file
  MemoryRange whole;            // all segments and what lies between them
  MemoryRange code;             // from the first executable segment to the end of the last
  uintptr_t unwind_header = 0;  // .eh_frame_hdr, 0: none
  MemoryRange notes[4];
  int note_count = 0;
};

// `address` is where the byte at `offset` of the file is mapped, in a segment with these rights; that
// gives the bias.
bool LayOutElf(const ElfHeaders& headers, uintptr_t address, uint64_t offset, bool executable, ElfImage* image);

// The build-id among the notes, which are readable memory. Returns its size, 0: none; a longer one is cut.
uint32_t FindBuildId(MemoryRange notes, uint8_t* build_id, uint32_t capacity);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_ELF_IMAGE_H_
