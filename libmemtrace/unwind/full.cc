#include "libmemtrace/unwind/full.h"

#include "libmemtrace/format/tables.h"
#include "libmemtrace/unwind/expression.h"
#include "libmemtrace/unwind/modules.h"
#include "libmemtrace/unwind/resolve.h"
#include "libmemtrace/unwind/step.h"

namespace memtrace::unwind {
namespace {

// From UnwindFull to the caller of malloc there are a handful of frames.
constexpr int kMaxOwnFrames = 64;

class FullWalk {
 public:
  FullWalk(const RegisterFile& registers, const StackLimits& limits) : registers_(registers), memory_(limits) {}

  uintptr_t pc() const { return registers_.values[arch::kPc]; }
  uintptr_t sp() const { return registers_.values[arch::kSp]; }
  void set_exact(bool is_exact) { is_exact_ = is_exact; }
  bool is_exact() const { return is_exact_; }
  uintptr_t LookupPc() const { return is_exact_ ? pc() : pc() - 1; }

  Step ToCaller(CompactRule rule) {
    if (rule.kind() == StepKind::kSignal) return OverSignal();
    Row row;
    if (rule.kind() == StepKind::kNone || rule.kind() == StepKind::kEnd || rule.kind() == StepKind::kFramePointer ||
        rule.module() == format::kNoModule || !FindRow(Tables(rule), LookupPc(), &row)) {
      return ByRule(rule);
    }
    return ByRow(row, Tables(rule));
  }

 private:
  static const CfiTables& Tables(CompactRule rule) { return ModuleAt(rule.module()).tables; }

  Step ByRule(CompactRule rule) {
    Cursor cursor{pc(), sp(), registers_.values[arch::kFp], 0, is_exact_};
    const Step step = StepByRule(rule, &memory_, &cursor);
    if (step != Step::kCaller) return step;
    registers_ = RegisterFile();
    registers_.Set(arch::kPc, cursor.pc);
    registers_.Set(arch::kSp, cursor.sp);
    registers_.Set(arch::kFp, cursor.fp);
    is_exact_ = false;
    return step;
  }

  Step OverSignal() {
    const uintptr_t frame = sp();
    for (int i = 0; i < arch::kRegisters; ++i) {
      uintptr_t value;
      if (!memory_.Read(frame + arch::kSignalOffset[i], &value)) return Step::kLost;
      registers_.Set(i, value);
    }
    is_exact_ = true;
    return Step::kCaller;
  }

  bool Cfa(const Row& row, const CfiTables& tables, uint64_t* cfa) {
    if (row.cfa.kind() == RuleKind::kOffset) {
      *cfa = registers_.values[row.cfa_register] + static_cast<uint64_t>(row.cfa.value());
      return registers_.Has(row.cfa_register);
    }
    return row.cfa.kind() == RuleKind::kExpression && Compute(row.cfa, tables, nullptr, cfa);
  }

  bool Compute(const Rule& rule, const CfiTables& tables, const uint64_t* initial, uint64_t* result) {
    ByteReader reader({}, 0);
    return OpenExpression(tables.entries_range, static_cast<uintptr_t>(rule.value()), &reader) &&
           Evaluate(reader, registers_, &memory_, initial, result);
  }

  // The caller's value of a register; false: it is lost.
  bool Recover(const Rule& rule, const CfiTables& tables, int dwarf_register, uint64_t cfa, uint64_t* value) {
    const auto operand = static_cast<uint64_t>(rule.value());
    uint64_t address = 0;
    switch (rule.kind()) {
      case RuleKind::kUnspecified:
      case RuleKind::kSame:
        *value = registers_.values[dwarf_register];
        return registers_.Has(dwarf_register);
      case RuleKind::kOffset:
        return memory_.Read(cfa + operand, value);
      case RuleKind::kValueOffset:
        *value = cfa + operand;
        return true;
      case RuleKind::kRegister:
        if (registers_.Has(operand)) *value = registers_.values[operand];
        return registers_.Has(operand);
      case RuleKind::kExpression:
        return Compute(rule, tables, &cfa, &address) && memory_.Read(address, value);
      case RuleKind::kValueExpression:
        return Compute(rule, tables, &cfa, value);
      case RuleKind::kUndefined:
        return false;
    }
    return false;
  }

  Step ByRow(const Row& row, const CfiTables& tables) {
    if (row.columns[arch::kRaIndex].kind() == RuleKind::kUndefined) return Step::kEnd;
    uint64_t cfa = 0;
    if (!Cfa(row, tables, &cfa)) return Step::kLost;
    const bool moves = cfa > sp() || (!arch::kReturnAddressIsPushed && is_exact_ && cfa == sp());
    if (!moves && !row.is_signal_frame) return Step::kLost;
    // Signal frames restore all registers, others only those that a callee must preserve.
    RegisterFile caller;
    for (int i = 0; i < arch::kColumns; ++i) {
      uint64_t value = 0;
      if (Recover(row.columns[i], tables, arch::kTracked[i], cfa, &value)) caller.Set(arch::kTracked[i], value);
    }
    if (!caller.Has(arch::kReturnColumn)) return Step::kLost;
    const uint64_t pc = caller.values[arch::kReturnColumn];
    if (pc == 0) return Step::kEnd;
    caller.Set(arch::kPc, arch::StripReturnAddress(pc));
    caller.Set(arch::kSp, cfa);
    is_exact_ = row.is_signal_frame;
    registers_ = caller;
    return Step::kCaller;
  }

  RegisterFile registers_;
  StackMemory memory_;
  bool is_exact_ = true;
};

// True when the walk has come to the frame that `start` describes.
bool ComeTo(const Registers& start, FullWalk* walk) {
  for (int i = 0; i < kMaxOwnFrames && walk->sp() < start.sp; ++i) {
    if (walk->ToCaller(RuleFor(walk->LookupPc())) != Step::kCaller) return false;
  }
  return walk->sp() == start.sp && walk->pc() == start.pc;
}

}  // namespace

[[gnu::noinline]] Unwound UnwindFull(const Registers& start, const StackLimits& limits, Frame* frames,
                                     uint32_t capacity) {
  RegisterFile registers;
  arch::CaptureRegisters(registers.values);
  registers.known = uint64_t{1} << arch::kPc | uint64_t{1} << arch::kSp;
  for (const uint8_t tracked : arch::kTracked) registers.known |= uint64_t{1} << tracked;
  FullWalk walk(registers, {registers.values[arch::kSp], limits.high});
  if (!ComeTo(start, &walk)) {
    RegisterFile given;
    given.Set(arch::kPc, start.pc);
    given.Set(arch::kSp, start.sp);
    given.Set(arch::kFp, start.fp);
    walk = FullWalk(given, limits);
    walk.set_exact(false);
  }
  uint32_t count = 0;
  Step step = Step::kCaller;
  while (step == Step::kCaller && count < capacity) {
    const CompactRule rule = RuleFor(walk.LookupPc());
    if (rule.kind() == StepKind::kNone && count > 0) break;
    Frame* frame = &frames[count++];
    const bool at_trampoline = rule.kind() == StepKind::kSignal;
    frame->pc = at_trampoline ? walk.pc() : walk.LookupPc();
    frame->module = rule.module();
    frame->flags = walk.is_exact() ? format::kNodeInterrupted : uint16_t{0};
    step = walk.ToCaller(rule);
    frame->cfa = step == Step::kCaller ? walk.sp() : 0;
  }
  return {count, step != Step::kEnd};
}

}  // namespace memtrace::unwind
