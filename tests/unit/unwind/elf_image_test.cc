#include "libmemtrace/unwind/elf_image.h"

#include <gtest/gtest.h>
#include <link.h>

#include <cstring>
#include <vector>

#include "libmemtrace/unwind/modules.h"

extern "C" const char __ehdr_start;  // of this program, by the linker

namespace memtrace::unwind {
namespace {

constexpr uintptr_t kHeaderBytes = 4096;  // the loader maps whole pages
MemoryRange OwnHeaders() {
  const auto begin = reinterpret_cast<uintptr_t>(&__ehdr_start);
  return {begin, begin + kHeaderBytes};
}

TEST(UnwindElf, FileAndMemorySayTheSame) {
  ElfHeaders memory;
  ElfHeaders file;
  ASSERT_TRUE(ReadElfHeaders(OwnHeaders(), &memory));
  ASSERT_TRUE(ReadElfHeaders("/proc/self/exe", &file));
  ASSERT_EQ(memory.count, file.count);
  EXPECT_GT(memory.count, 4);
  EXPECT_EQ(std::memcmp(memory.segments, file.segments, sizeof(Elf64_Phdr) * static_cast<size_t>(file.count)), 0);
}

TEST(UnwindElf, LaysOutThisProgram) {
  ElfHeaders headers;
  ElfImage image;
  ASSERT_TRUE(ReadElfHeaders(OwnHeaders(), &headers));
  // Linkers for arm64 put the headers into the segment with the code.
  bool executable = false;
  for (int i = 0; i < headers.count; ++i) {
    const Elf64_Phdr& segment = headers.segments[i];
    if (segment.p_type == PT_LOAD && segment.p_offset == 0) executable = (segment.p_flags & PF_X) != 0;
  }
  ASSERT_TRUE(LayOutElf(headers, OwnHeaders().begin, 0, executable, &image));
  EXPECT_TRUE(image.code.Contains(reinterpret_cast<uintptr_t>(&OwnHeaders)));
  EXPECT_TRUE(image.whole.Contains(reinterpret_cast<uintptr_t>(&__ehdr_start)));
  EXPECT_TRUE(image.whole.Contains(image.unwind_header));
  EXPECT_GT(image.note_count, 0);
  // The loader's word for where it put the program.
  const auto first = [](dl_phdr_info* info, size_t, void* bias) {
    *static_cast<uintptr_t*>(bias) = info->dlpi_addr;
    return 1;
  };
  uintptr_t bias = 1;
  dl_iterate_phdr(first, &bias);
  EXPECT_EQ(image.bias, bias);
}

TEST(UnwindElf, FindsBuildIdsAmongNotes) {
  const uint32_t notes[] = {4, 3, 1, 0x00554e47, 0xffffff, 8, 4, 7, 1, 2, 9, 4, 6, 3, 0x00554e47, 0x04030201, 0x0605};
  uint8_t id[32] = {};
  const auto begin = reinterpret_cast<uintptr_t>(notes);
  const uintptr_t end = begin + sizeof(notes);
  EXPECT_EQ(FindBuildId({begin, end}, id, sizeof(id)), 6u);
  EXPECT_EQ(id[5], 6);
  EXPECT_EQ(FindBuildId({begin, end - 4}, id, sizeof(id)), 0u) << "cut off";
  EXPECT_EQ(FindBuildId({begin, begin + 40}, id, sizeof(id)), 0u) << "none";
  EXPECT_EQ(FindBuildId({begin, end}, id, 2), 2u) << "too long for the buffer";
}

TEST(UnwindElf, RefusesBrokenHeaders) {
  std::vector<char> file(4096);
  auto* header = reinterpret_cast<Elf64_Ehdr*>(file.data());
  const auto* own = reinterpret_cast<const Elf64_Ehdr*>(
      ModuleAt(static_cast<uint32_t>(FindModule(reinterpret_cast<uintptr_t>(&getpid)))).start);
  std::memcpy(file.data(), own, sizeof(*own));
  const auto begin = reinterpret_cast<uintptr_t>(file.data());
  ElfHeaders headers;
  ElfImage image;
  EXPECT_TRUE(ReadElfHeaders({begin, begin + file.size()}, &headers));
  EXPECT_FALSE(LayOutElf(headers, begin, 0, true, &image)) << "no segment";
  header->e_phoff = ~uint64_t{0} - 8;
  EXPECT_FALSE(ReadElfHeaders({begin, begin + file.size()}, &headers));
  header->e_phoff = 4000;
  EXPECT_FALSE(ReadElfHeaders({begin, begin + file.size()}, &headers));
  std::memcpy(file.data(), own, sizeof(*own));
  header->e_machine = EM_386;
  EXPECT_FALSE(ReadElfHeaders({begin, begin + file.size()}, &headers));
  EXPECT_FALSE(ReadElfHeaders({begin, begin + 20}, &headers));
  EXPECT_FALSE(ReadElfHeaders("/nonexistent", &headers));
  EXPECT_FALSE(ReadElfHeaders("/dev/null", &headers));
}

TEST(UnwindElf, LaysOutSegmentsThatDoNotStartAtTheFile) {
  ElfHeaders headers{};
  headers.count = 2;
  headers.segments[0] = {.p_type = PT_LOAD,
                         .p_flags = PF_R,
                         .p_offset = 0x2000,
                         .p_vaddr = 0x402000,
                         .p_paddr = 0,
                         .p_filesz = 0x500,
                         .p_memsz = 0x500,
                         .p_align = 0x1000};
  headers.segments[1] = {.p_type = PT_LOAD,
                         .p_flags = PF_R | PF_X,
                         .p_offset = 0x3480,
                         .p_vaddr = 0x404480,
                         .p_paddr = 0,
                         .p_filesz = 0x1000,
                         .p_memsz = 0x1000,
                         .p_align = 0x1000};
  ElfImage image;
  ASSERT_TRUE(LayOutElf(headers, 0x404000, 0x3000, true, &image)) << "prelinked";
  EXPECT_EQ(image.bias, 0u);
  EXPECT_EQ(image.whole.begin, 0x402000u);
  EXPECT_EQ(image.code.begin, 0x404480u);
  EXPECT_EQ(image.code.end, 0x405480u);
  ElfImage moved;
  ASSERT_TRUE(LayOutElf(headers, 0x7f0000404000, 0x3000, true, &moved));
  EXPECT_EQ(moved.bias, 0x7f0000000000u);
  EXPECT_FALSE(LayOutElf(headers, 0x404000, 0x9000, true, &moved)) << "no segment holds that offset";
}

}  // namespace
}  // namespace memtrace::unwind
