// The interpreter of call frame information and of its expressions. Input: length of the header (1 byte),
// .eh_frame_hdr, .eh_frame. The tables lie at an address of their own, since they point to places relative to
// themselves.
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "libmemtrace/unwind/cfi.h"
#include "libmemtrace/unwind/expression.h"

namespace {

using namespace memtrace::unwind;

constexpr uintptr_t kPlace = 0x20000000;
constexpr size_t kPageBytes = 4096;
constexpr size_t kMostBytes = 16 * kPageBytes;

// Before a page that cannot be read: the last byte of the tables is the last one that may be touched.
uint8_t* Place() {
  void* memory = mmap(reinterpret_cast<void*>(kPlace), kMostBytes + kPageBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (memory == MAP_FAILED || mprotect(static_cast<uint8_t*>(memory) + kMostBytes, kPageBytes, PROT_NONE) != 0) abort();
  return static_cast<uint8_t*>(memory);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static uint8_t* const place = Place();
  if (size < 2 || size > kMostBytes) return 0;
  const size_t header_bytes = data[0] < size - 1 ? data[0] : size - 1;
  uint8_t* begin = place + kMostBytes - (size - 1);
  memcpy(begin, data + 1, size - 1);
  const auto header = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t entries = header + header_bytes;
  const uintptr_t end = header + size - 1;

  EntriesOf(header, {header, entries});
  for (const bool with_header : {true, false}) {
    const CfiTables tables{with_header ? header : 0, {header, entries}, entries, {entries, end}};
    for (const uintptr_t pc : {kPlace, header, entries, entries + 16, end, uintptr_t{0x1000}, uintptr_t{9}}) {
      Row row;
      FindRow(tables, pc, &row);
    }
  }
  RegisterFile registers;
  registers.Set(arch::kSp, header);
  registers.Set(3, 100);
  ByteReader reader({}, 0);
  const uint64_t initial = end;
  uint64_t result = 0;
  if (OpenExpression({header, end}, header, &reader)) {
    Evaluate(reader, registers, nullptr, nullptr, &result);
    Evaluate(reader, registers, nullptr, &initial, &result);
  }
  return 0;
}
