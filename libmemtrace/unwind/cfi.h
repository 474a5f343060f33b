// Call frame information: .eh_frame_hdr, .eh_frame and the programs in them (DWARF 5, section 6.4; Linux
// Standard Base 5, section 10.6). Tables are hostile input: every byte is read inside the table's range,
// every loop consumes input, and what is not understood makes the lookup fail.
#ifndef MEMTRACE_UNWIND_CFI_H_
#define MEMTRACE_UNWIND_CFI_H_

#include <cstdint>

#include "libmemtrace/unwind/arch.h"
#include "libmemtrace/unwind/memory.h"

namespace memtrace::unwind {

// Where a module keeps its tables.
struct CfiTables {
  uintptr_t header = 0;       // .eh_frame_hdr; 0: there is none
  MemoryRange header_range;   // readable memory that holds it
  uintptr_t entries = 0;      // .eh_frame
  MemoryRange entries_range;  // readable memory that holds it
};

// How the caller's value of a register, or the CFA, is found.
enum class RuleKind : uint8_t {
  kUnspecified,  // the same value; for the return address of a frameless leaf: the link register
  kUndefined,    // for the return address: the outermost frame
  kSame,
  kOffset,           // saved at CFA + value
  kValueOffset,      // is CFA + value
  kRegister,         // is the register `value`
  kExpression,       // saved at the result of the expression at address `value`
  kValueExpression,  // is the result of it
};
class Rule {
 public:
  constexpr Rule() = default;
  constexpr Rule(RuleKind kind, uint64_t value) : bits_(value << kKindBits | static_cast<uint64_t>(kind)) {}
  constexpr RuleKind kind() const { return static_cast<RuleKind>(bits_ & ((1 << kKindBits) - 1)); }
  // The upper 4 bits of what was stored are lost.
  constexpr int64_t value() const { return static_cast<int64_t>(bits_) >> kKindBits; }

 private:
  static constexpr int kKindBits = 4;
  uint64_t bits_ = 0;
};
static_assert(sizeof(Rule) == 8 && Rule().kind() == RuleKind::kUnspecified);

struct Row {
  Rule cfa;  // kOffset: register `cfa_register` + value; kExpression: the result at `value` is the CFA
  uint16_t cfa_register = 0;
  bool is_signal_frame = false;  // augmentation 'S': the pc of the caller is exact
  Rule columns[arch::kColumns];
};

// The address of .eh_frame, from the header; 0 if the header makes no sense.
uintptr_t EntriesOf(uintptr_t header, MemoryRange header_range);

// The row that holds at `pc`. False: no information covers it, or it is broken.
bool FindRow(const CfiTables& tables, uintptr_t pc, Row* row);

// A value in one of the encodings DW_EH_PE_*; `base` is what data-relative ones count from.
// Encodings that are indirect or relative to text or function are not used on Linux: false.
bool ReadEncoded(ByteReader* reader, uint8_t encoding, uintptr_t base, uintptr_t* value);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_CFI_H_
