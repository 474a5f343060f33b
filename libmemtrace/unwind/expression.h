// DWARF expressions, as far as call frame information uses them (DWARF 5, section 2.5).
#ifndef MEMTRACE_UNWIND_EXPRESSION_H_
#define MEMTRACE_UNWIND_EXPRESSION_H_

#include <cstdint>

#include "libmemtrace/unwind/arch.h"
#include "libmemtrace/unwind/memory.h"

namespace memtrace::unwind {

struct RegisterFile {
  uint64_t values[arch::kRegisters] = {};
  uint64_t known = 0;  // bit per register

  bool Has(uint64_t index) const { return index < arch::kRegisters && (known >> index & 1) != 0; }
  void Set(int index, uint64_t value) {
    values[index] = value;
    known |= uint64_t{1} << index;
  }
  void Forget(int index) { known &= ~(uint64_t{1} << index); }
};

// The bytes of an expression: a length in ULEB128 and the operations.
// False where it is empty or leaves the range.
bool OpenExpression(MemoryRange range, uintptr_t address, ByteReader* reader);

// Evaluates the expression. `initial`, if not null, is on the stack at the start (the CFA).
// Without `memory` nothing is dereferenced. False: needs a register that is not known or memory that is
// not readable, is broken, or takes more than 256 operations.
bool Evaluate(ByteReader expression, const RegisterFile& registers, StackMemory* memory, const uint64_t* initial,
              uint64_t* result);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_EXPRESSION_H_
