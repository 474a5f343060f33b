#include "libmemtrace/unwind/expression.h"

#include "libmemtrace/unwind/dwarf.h"

namespace memtrace::unwind {
namespace {

constexpr int kMaxOperations = 256;
constexpr unsigned kDepth = 16;

// Operands below the bottom are zero and operands above the top are lost; both clear ok().
class Operands {
 public:
  void Push(uint64_t value) {
    ok_ &= size_ < kDepth;
    if (ok_) values_[size_++] = value;
  }
  uint64_t Pop() {
    ok_ &= size_ > 0;
    return ok_ ? values_[--size_] : 0;
  }
  uint64_t Peek(uint64_t from_top) {
    ok_ &= from_top < size_;
    return ok_ ? values_[size_ - 1 - from_top] : 0;
  }
  void Fail() { ok_ = false; }
  bool ok() const { return ok_; }

 private:
  uint64_t values_[kDepth] = {};
  unsigned size_ = 0;
  bool ok_ = true;
};

bool IsBinary(uint8_t operation) {
  const bool unary = operation == dwarf::kOpNeg || operation == dwarf::kOpNot || operation == dwarf::kOpPlusUconst ||
                     operation == dwarf::kOpBra;
  return operation >= dwarf::kOpAnd && operation <= dwarf::kOpNe && !unary;
}

// False: division by zero.
bool Binary(uint8_t operation, uint64_t a, uint64_t b, uint64_t* result) {
  const auto signed_a = static_cast<int64_t>(a);
  const auto signed_b = static_cast<int64_t>(b);
  switch (operation) {
    case dwarf::kOpAnd:
      *result = a & b;
      return true;
    case dwarf::kOpOr:
      *result = a | b;
      return true;
    case dwarf::kOpXor:
      *result = a ^ b;
      return true;
    case dwarf::kOpPlus:
      *result = a + b;
      return true;
    case dwarf::kOpMinus:
      *result = a - b;
      return true;
    case dwarf::kOpMul:
      *result = a * b;
      return true;
    case dwarf::kOpDiv:
      if (signed_b == 0) return false;
      *result = signed_b == -1 ? -a : static_cast<uint64_t>(signed_a / signed_b);  // INT64_MIN / -1 would trap
      return true;
    case dwarf::kOpMod:
      *result = b == 0 ? 0 : a % b;
      return b != 0;
    case dwarf::kOpShl:
      *result = b < 64 ? a << b : 0;
      return true;
    case dwarf::kOpShr:
      *result = b < 64 ? a >> b : 0;
      return true;
    case dwarf::kOpShra:
      *result = static_cast<uint64_t>(signed_a >> (b < 63 ? b : 63));
      return true;
    case dwarf::kOpEq:
      *result = a == b;
      return true;
    case dwarf::kOpNe:
      *result = a != b;
      return true;
    case dwarf::kOpGe:
      *result = signed_a >= signed_b;
      return true;
    case dwarf::kOpGt:
      *result = signed_a > signed_b;
      return true;
    case dwarf::kOpLe:
      *result = signed_a <= signed_b;
      return true;
    case dwarf::kOpLt:
      *result = signed_a < signed_b;
      return true;
    default:
      return false;
  }
}

// True if `operation` pushes a constant that follows it.
bool Constant(uint8_t operation, ByteReader* reader, uint64_t* value) {
  switch (operation) {
    case dwarf::kOpConst1u:
      *value = reader->Read<uint8_t>();
      return true;
    case dwarf::kOpConst1s:
      *value = static_cast<uint64_t>(int64_t{reader->Read<int8_t>()});
      return true;
    case dwarf::kOpConst2u:
      *value = reader->Read<uint16_t>();
      return true;
    case dwarf::kOpConst2s:
      *value = static_cast<uint64_t>(int64_t{reader->Read<int16_t>()});
      return true;
    case dwarf::kOpConst4u:
      *value = reader->Read<uint32_t>();
      return true;
    case dwarf::kOpConst4s:
      *value = static_cast<uint64_t>(int64_t{reader->Read<int32_t>()});
      return true;
    case dwarf::kOpAddr:
    case dwarf::kOpConst8u:
    case dwarf::kOpConst8s:
      *value = reader->Read<uint64_t>();
      return true;
    case dwarf::kOpConstu:
      *value = reader->Uleb();
      return true;
    case dwarf::kOpConsts:
      *value = static_cast<uint64_t>(reader->Sleb());
      return true;
    default:
      *value = uint64_t{operation} - dwarf::kOpLit0;
      return operation >= dwarf::kOpLit0 && operation <= dwarf::kOpLit31;
  }
}

void Dereference(StackMemory* memory, unsigned bytes, Operands* operands) {
  uintptr_t word = 0;
  if (memory == nullptr || bytes == 0 || bytes > 8 || !memory->Read(operands->Pop(), &word)) return operands->Fail();
  operands->Push(bytes == 8 ? word : word & ((uint64_t{1} << 8 * bytes) - 1));
}

// What is neither a constant, nor binary, nor refers to a register.
void Other(uint8_t operation, ByteReader* reader, StackMemory* memory, Operands* operands) {
  switch (operation) {
    case dwarf::kOpNop:
      return;
    case dwarf::kOpDup:
      return operands->Push(operands->Peek(0));
    case dwarf::kOpDrop:
      operands->Pop();
      return;
    case dwarf::kOpOver:
      return operands->Push(operands->Peek(1));
    case dwarf::kOpPick:
      return operands->Push(operands->Peek(reader->Read<uint8_t>()));
    case dwarf::kOpNeg:
      return operands->Push(-operands->Pop());
    case dwarf::kOpNot:
      return operands->Push(~operands->Pop());
    case dwarf::kOpPlusUconst:
      return operands->Push(operands->Pop() + reader->Uleb());
    case dwarf::kOpDeref:
      return Dereference(memory, 8, operands);
    case dwarf::kOpDerefSize:
      return Dereference(memory, reader->Read<uint8_t>(), operands);
    case dwarf::kOpAbs: {
      const uint64_t value = operands->Pop();
      return operands->Push(static_cast<int64_t>(value) < 0 ? -value : value);
    }
    case dwarf::kOpSwap: {
      const uint64_t a = operands->Pop();
      const uint64_t b = operands->Pop();
      operands->Push(a);
      return operands->Push(b);
    }
    case dwarf::kOpRot: {
      const uint64_t a = operands->Pop();
      const uint64_t b = operands->Pop();
      const uint64_t c = operands->Pop();
      operands->Push(a);
      operands->Push(c);
      return operands->Push(b);
    }
    case dwarf::kOpBra:
    case dwarf::kOpSkip: {
      const int64_t distance = reader->Read<int16_t>();
      if (operation == dwarf::kOpSkip || operands->Pop() != 0) {
        reader->Seek(reader->position() + static_cast<uint64_t>(distance));
      }
      return;
    }
    default:
      return operands->Fail();
  }
}

}  // namespace

bool OpenExpression(MemoryRange range, uintptr_t address, ByteReader* reader) {
  *reader = ByteReader(range, address);
  const uint64_t bytes = reader->Uleb();
  const uintptr_t begin = reader->position();
  if (!reader->ok() || bytes == 0 || !range.Contains(begin, bytes)) return false;
  // Branches may not leave the expression.
  *reader = ByteReader({begin, begin + bytes}, begin);
  return true;
}

bool Evaluate(ByteReader expression, const RegisterFile& registers, StackMemory* memory, const uint64_t* initial,
              uint64_t* result) {
  Operands operands;
  if (initial != nullptr) operands.Push(*initial);
  for (int i = 0; i < kMaxOperations; ++i) {
    if (!expression.ok() || !operands.ok()) return false;
    if (expression.AtEnd()) {
      *result = operands.Pop();
      return operands.ok();
    }
    const auto operation = expression.Read<uint8_t>();
    uint64_t value = 0;
    if (Constant(operation, &expression, &value)) {
      operands.Push(value);
    } else if ((operation >= dwarf::kOpBreg0 && operation <= dwarf::kOpBreg31) || operation == dwarf::kOpBregx) {
      const uint64_t number = operation == dwarf::kOpBregx ? expression.Uleb() : uint64_t{operation} - dwarf::kOpBreg0;
      if (!registers.Has(number)) return false;
      operands.Push(registers.values[number] + static_cast<uint64_t>(expression.Sleb()));
    } else if (IsBinary(operation)) {
      const uint64_t b = operands.Pop();
      const uint64_t a = operands.Pop();
      if (!Binary(operation, a, b, &value)) return false;
      operands.Push(value);
    } else {
      Other(operation, &expression, memory, &operands);
    }
  }
  return false;
}

}  // namespace memtrace::unwind
