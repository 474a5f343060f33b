#include "libmemtrace/unwind/cfi.h"

#include "libmemtrace/unwind/dwarf.h"

namespace memtrace::unwind {
namespace {

constexpr int kRememberedRows = 8;
constexpr uint8_t kTableSdata4 = dwarf::kDataRelative | dwarf::kSdata4;  // what every linker writes

struct Cie {
  uint64_t code_align = 0;
  int64_t data_align = 0;
  uint64_t return_column = 0;
  uint8_t pointer_encoding = dwarf::kAbsolute;
  bool has_augmentation_data = false;
  bool is_signal_frame = false;
  MemoryRange program;
};

struct Fde {
  Cie cie;
  uintptr_t begin = 0;
  uintptr_t end = 0;
  MemoryRange program;
};

// Reads a length field and limits `entry` to what it covers. False at the terminator and for junk.
bool EnterRecord(ByteReader* entry, uintptr_t* next) {
  uint64_t bytes = entry->Read<uint32_t>();
  if (bytes == 0xffffffff) bytes = entry->Read<uint64_t>();
  if (!entry->ok() || bytes == 0 || !entry->range().Contains(entry->position(), bytes)) return false;
  *next = entry->position() + bytes;
  entry->LimitTo(*next);
  return true;
}

// The augmentation string describes the augmentation data, character by character.
bool ReadAugmentation(ByteReader string, ByteReader* data, Cie* cie) {
  uintptr_t ignored;
  for (char c = string.Read<char>(); c != '\0'; c = string.Read<char>()) {
    switch (c) {
      case 'z':
        cie->has_augmentation_data = true;
        break;
      case 'R':
        cie->pointer_encoding = data->Read<uint8_t>();
        break;
      case 'L':
        data->Read<uint8_t>();
        break;
      case 'P': {
        const uint8_t encoding = data->Read<uint8_t>() & static_cast<uint8_t>(~dwarf::kIndirect);
        if (!ReadEncoded(data, encoding, 0, &ignored)) return false;
        break;
      }
      case 'S':
        cie->is_signal_frame = true;
        break;
      case 'B':  // arm64: return addresses are signed with key B
      case 'G':  // arm64: tagged stack
        break;
      default:
        return cie->has_augmentation_data;  // the rest of the data is skipped by its length
    }
  }
  return data->ok();
}

bool ParseCie(MemoryRange range, uintptr_t address, Cie* cie) {
  ByteReader reader(range, address);
  uintptr_t end;
  if (!EnterRecord(&reader, &end) || reader.Read<uint32_t>() != 0) return false;
  const auto version = reader.Read<uint8_t>();
  if (version != 1 && version != 3 && version != 4) return false;
  const ByteReader string = reader;
  while (reader.Read<char>() != '\0') {
  }
  if (version == 4) reader.Skip(2);  // sizes of addresses and segment selectors
  cie->code_align = reader.Uleb();
  cie->data_align = reader.Sleb();
  cie->return_column = version == 1 ? reader.Read<uint8_t>() : reader.Uleb();
  uintptr_t program = 0;
  ByteReader peek = string;
  if (peek.Read<char>() == 'z') {
    const uint64_t bytes = reader.Uleb();
    if (!reader.ok() || !reader.range().Contains(reader.position(), bytes)) return false;
    program = reader.position() + bytes;
  }
  if (!reader.ok() || !ReadAugmentation(string, &reader, cie)) return false;
  cie->program = {program != 0 ? program : reader.position(), end};
  return cie->return_column == arch::kReturnColumn;
}

// False for a CIE, the terminator and junk; then `*next` is 0 unless the walk can go on.
bool ParseFde(MemoryRange range, uintptr_t address, Fde* fde, uintptr_t* next) {
  ByteReader reader(range, address);
  *next = 0;
  if (!EnterRecord(&reader, next)) return false;
  const uintptr_t id_position = reader.position();
  const uint64_t id = reader.Read<uint32_t>();
  if (id == 0 || !ParseCie(range, id_position - id, &fde->cie)) return false;
  const auto format = static_cast<uint8_t>(fde->cie.pointer_encoding & dwarf::kFormatMask);
  uintptr_t bytes = 0;
  if (!ReadEncoded(&reader, fde->cie.pointer_encoding, 0, &fde->begin) || !ReadEncoded(&reader, format, 0, &bytes)) {
    return false;
  }
  if (fde->cie.has_augmentation_data) reader.Skip(reader.Uleb());
  fde->end = fde->begin + bytes;
  fde->program = {reader.position(), *next};
  return reader.ok() && fde->end >= fde->begin;
}

// The last entry of the sorted table that begins at or before `pc`.
bool SearchTable(ByteReader table, uint64_t count, uint8_t encoding, uintptr_t base, uintptr_t pc, uintptr_t* fde) {
  constexpr uint8_t kBytes[16] = {8, 0, 2, 4, 8, 0, 0, 0, 0, 0, 2, 4, 8, 0, 0, 0};
  const uint64_t width = kBytes[encoding & dwarf::kFormatMask];
  if (width == 0 || count > (table.range().end - table.position()) / (2 * width)) return false;
  const uintptr_t start = table.position();
  uint64_t low = 0;
  uint64_t high = count;  // entries from here on begin after pc
  uintptr_t begin = 0;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    table.Seek(start + middle * 2 * width);
    if (!ReadEncoded(&table, encoding, base, &begin)) return false;
    if (begin <= pc) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return false;
  table.Seek(start + (low - 1) * 2 * width + width);
  return ReadEncoded(&table, encoding, base, fde);
}

enum class Search { kFound, kNotCovered, kNoTable };

Search SearchHeader(const CfiTables& tables, uintptr_t pc, Fde* fde) {
  ByteReader reader(tables.header_range, tables.header);
  reader.Skip(1);
  const auto pointer_encoding = reader.Read<uint8_t>();
  const auto count_encoding = reader.Read<uint8_t>();
  const auto table_encoding = reader.Read<uint8_t>();
  uintptr_t ignored;
  uintptr_t count = 0;
  if (!ReadEncoded(&reader, pointer_encoding, tables.header, &ignored)) return Search::kNoTable;
  if (count_encoding == dwarf::kOmit || table_encoding == dwarf::kOmit) return Search::kNoTable;
  if (!ReadEncoded(&reader, count_encoding, tables.header, &count) || count == 0) return Search::kNoTable;
  uintptr_t address = 0;
  if (!SearchTable(reader, count, table_encoding, tables.header, pc, &address)) {
    return table_encoding == kTableSdata4 ? Search::kNotCovered : Search::kNoTable;
  }
  uintptr_t next;
  if (!ParseFde(tables.entries_range, address, fde, &next)) return Search::kNotCovered;
  return pc >= fde->begin && pc < fde->end ? Search::kFound : Search::kNotCovered;
}

bool WalkEntries(const CfiTables& tables, uintptr_t pc, Fde* fde) {
  uintptr_t next = tables.entries;
  while (next != 0) {
    *fde = Fde();
    if (ParseFde(tables.entries_range, next, fde, &next) && pc >= fde->begin && pc < fde->end) return true;
  }
  return false;
}

// Runs the instructions of a CIE and then of an FDE up to a pc.
class Program {
 public:
  Program(const Fde& fde, uintptr_t pc, Row* row) : cie_(fde.cie), pc_(pc), location_(fde.begin), row_(*row) {}

  bool Run(MemoryRange cie_program, MemoryRange fde_program) {
    if (!RunPart(cie_program)) return false;
    initial_ = row_;
    has_initial_ = true;
    return RunPart(fde_program);
  }

 private:
  bool RunPart(MemoryRange part) {
    ByteReader reader(part, part.begin);
    while (!reader.AtEnd()) {
      const auto instruction = reader.Read<uint8_t>();
      const auto operand = static_cast<uint8_t>(instruction & ~dwarf::kPrimaryMask);
      bool good = true;
      switch (instruction & dwarf::kPrimaryMask) {
        case dwarf::kAdvanceLoc:
          Advance(operand);
          break;
        case dwarf::kOffset:
          good = SetFactored(operand, reader.Uleb(), RuleKind::kOffset);
          break;
        case dwarf::kRestore:
          good = Restore(operand);
          break;
        default:
          good = Extended(operand, &reader);
          break;
      }
      if (!good || !reader.ok()) return false;
      if (location_ > pc_) return true;
    }
    return reader.ok();
  }

  bool Extended(uint8_t instruction, ByteReader* reader) {
    switch (instruction) {
      case dwarf::kNop:
      case dwarf::kNegateRaState:
        return true;
      case dwarf::kGnuArgsSize:
        reader->Uleb();
        return true;
      case dwarf::kSetLoc:
        return ReadEncoded(reader, cie_.pointer_encoding, 0, &location_);
      case dwarf::kAdvanceLoc1:
        Advance(reader->Read<uint8_t>());
        return true;
      case dwarf::kAdvanceLoc2:
        Advance(reader->Read<uint16_t>());
        return true;
      case dwarf::kAdvanceLoc4:
        Advance(reader->Read<uint32_t>());
        return true;
      case dwarf::kRememberState:
        return Remember();
      case dwarf::kRestoreState:
        return Recall();
      case dwarf::kDefCfa:
      case dwarf::kDefCfaSf:
      case dwarf::kDefCfaRegister:
      case dwarf::kDefCfaOffset:
      case dwarf::kDefCfaOffsetSf:
      case dwarf::kDefCfaExpression:
        return DefineCfa(instruction, reader);
      default:
        return SetRegister(instruction, reader);
    }
  }

  bool DefineCfa(uint8_t instruction, ByteReader* reader) {
    Rule* cfa = &row_.cfa;
    switch (instruction) {
      case dwarf::kDefCfa:
        return SetCfaRegister(reader->Uleb()) && SetCfaOffset(reader->Uleb());
      case dwarf::kDefCfaSf:
        return SetCfaRegister(reader->Uleb()) && SetCfaOffset(Factored(reader->Sleb()));
      case dwarf::kDefCfaRegister:
        return cfa->kind() == RuleKind::kOffset && SetCfaRegister(reader->Uleb());
      case dwarf::kDefCfaOffset:
        return SetCfaOffset(reader->Uleb());
      case dwarf::kDefCfaOffsetSf:
        return SetCfaOffset(Factored(reader->Sleb()));
      case dwarf::kDefCfaExpression:
        return SetExpression(cfa, RuleKind::kExpression, reader);
      default:
        return false;
    }
  }

  bool SetRegister(uint8_t instruction, ByteReader* reader) {
    const uint64_t number = reader->Uleb();
    switch (instruction) {
      case dwarf::kOffsetExtended:
        return SetFactored(number, reader->Uleb(), RuleKind::kOffset);
      case dwarf::kOffsetExtendedSf:
        return SetFactored(number, reader->Sleb(), RuleKind::kOffset);
      case dwarf::kGnuNegativeOffsetExtended:
        return SetFactored(number, -reader->Uleb(), RuleKind::kOffset);
      case dwarf::kValOffset:
        return SetFactored(number, reader->Uleb(), RuleKind::kValueOffset);
      case dwarf::kValOffsetSf:
        return SetFactored(number, reader->Sleb(), RuleKind::kValueOffset);
      case dwarf::kRestoreExtended:
        return Restore(number);
      case dwarf::kUndefined:
        return SetRule(number, RuleKind::kUndefined, 0);
      case dwarf::kSameValue:
        return SetRule(number, RuleKind::kSame, 0);
      case dwarf::kRegister:
        return SetRule(number, RuleKind::kRegister, reader->Uleb());
      case dwarf::kExpression:
        return SetExpression(Column(number), RuleKind::kExpression, reader);
      case dwarf::kValExpression:
        return SetExpression(Column(number), RuleKind::kValueExpression, reader);
      default:
        return false;
    }
  }

  // Registers that are not followed have a rule of their own to write to.
  Rule* Column(uint64_t dwarf_register) {
    const int column = arch::ColumnOf(dwarf_register);
    return column < 0 ? &ignored_ : &row_.columns[column];
  }
  bool SetRule(uint64_t dwarf_register, RuleKind kind, uint64_t value) {
    return SetRule(Column(dwarf_register), kind, value);
  }
  static bool SetRule(Rule* rule, RuleKind kind, uint64_t value) {
    *rule = Rule(kind, value);
    return rule->value() == static_cast<int64_t>(value);
  }
  // Wraps instead of overflowing: such a frame is refused when its memory is read.
  uint64_t Factored(uint64_t value) const { return value * static_cast<uint64_t>(cie_.data_align); }
  bool SetFactored(uint64_t dwarf_register, uint64_t value, RuleKind kind) {
    return SetRule(dwarf_register, kind, Factored(value));
  }
  static bool SetExpression(Rule* rule, RuleKind kind, ByteReader* reader) {
    const uintptr_t at = reader->position();
    reader->Skip(reader->Uleb());
    return reader->ok() && SetRule(rule, kind, at);
  }
  bool SetCfaRegister(uint64_t dwarf_register) {
    // The offset stays; after an expression there is none.
    if (row_.cfa.kind() != RuleKind::kOffset) row_.cfa = Rule(RuleKind::kOffset, 0);
    row_.cfa_register = static_cast<uint16_t>(dwarf_register);
    return dwarf_register < arch::kRegisters;
  }
  bool SetCfaOffset(uint64_t offset) {
    return row_.cfa.kind() == RuleKind::kOffset && SetRule(&row_.cfa, RuleKind::kOffset, offset);
  }
  void Advance(uint64_t delta) { location_ += delta * cie_.code_align; }
  bool Restore(uint64_t dwarf_register) {
    const int column = arch::ColumnOf(dwarf_register);
    if (column >= 0 && has_initial_) row_.columns[column] = initial_.columns[column];
    return has_initial_;
  }
  bool Remember() {
    if (depth_ == kRememberedRows) return false;
    remembered_[depth_++] = row_;
    return true;
  }
  bool Recall() {
    if (depth_ == 0) return false;
    row_ = remembered_[--depth_];
    return true;
  }

  const Cie& cie_;
  const uintptr_t pc_;
  uintptr_t location_;
  Row& row_;
  Row initial_;
  bool has_initial_ = false;
  Rule ignored_;
  int depth_ = 0;
  Row remembered_[kRememberedRows];
};

}  // namespace

bool ReadEncoded(ByteReader* reader, uint8_t encoding, uintptr_t base, uintptr_t* value) {
  uintptr_t from = 0;
  switch (encoding & dwarf::kRelationMask) {
    case dwarf::kAbsolute:
      break;
    case dwarf::kPcRelative:
      from = reader->position();
      break;
    case dwarf::kDataRelative:
      from = base;
      break;
    case dwarf::kAligned:
      reader->Seek((reader->position() + 7) & ~uintptr_t{7});
      break;
    default:
      return false;
  }
  if ((encoding & dwarf::kIndirect) != 0) return false;
  switch (encoding & dwarf::kFormatMask) {
    case dwarf::kAbsolute:
    case dwarf::kUdata8:
    case dwarf::kSdata8:
      *value = reader->Read<uint64_t>();
      break;
    case dwarf::kUleb128:
      *value = reader->Uleb();
      break;
    case dwarf::kSleb128:
      *value = static_cast<uint64_t>(reader->Sleb());
      break;
    case dwarf::kUdata2:
      *value = reader->Read<uint16_t>();
      break;
    case dwarf::kSdata2:
      *value = static_cast<uint64_t>(int64_t{reader->Read<int16_t>()});
      break;
    case dwarf::kUdata4:
      *value = reader->Read<uint32_t>();
      break;
    case dwarf::kSdata4:
      *value = static_cast<uint64_t>(int64_t{reader->Read<int32_t>()});
      break;
    default:
      return false;
  }
  *value += from;
  return reader->ok();
}

uintptr_t EntriesOf(uintptr_t header, MemoryRange header_range) {
  ByteReader reader(header_range, header);
  const auto version = reader.Read<uint8_t>();
  const auto encoding = reader.Read<uint8_t>();
  reader.Skip(2);
  uintptr_t entries = 0;
  return version == 1 && ReadEncoded(&reader, encoding, header, &entries) ? entries : 0;
}

bool FindRow(const CfiTables& tables, uintptr_t pc, Row* row) {
  if (tables.header == 0 || tables.entries == 0) return false;
  Fde fde;
  const Search search = SearchHeader(tables, pc, &fde);
  if (search == Search::kNotCovered) return false;
  if (search == Search::kNoTable && !WalkEntries(tables, pc, &fde)) return false;
  *row = Row();
  row->is_signal_frame = fde.cie.is_signal_frame;
  return Program(fde, pc, row).Run(fde.cie.program, fde.program);
}

}  // namespace memtrace::unwind
