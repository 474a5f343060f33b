#include "libmemtrace/unwind/cfi.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "libmemtrace/unwind/dwarf.h"
#include "libmemtrace/unwind/expression.h"
#include "libmemtrace/unwind/modules.h"
#include "libmemtrace/unwind/rules.h"
#include "tests/unit/unwind/fenced.h"

namespace memtrace::unwind {
namespace {

const CfiTables& OwnTables() {
  const int module = FindModule(reinterpret_cast<uintptr_t>(&OwnTables));
  return ModuleAt(static_cast<uint32_t>(module)).tables;
}

// The tables of this program, moved as a whole; a pc moves with them.
struct MovedTables {
  MovedTables() : memory(OwnTables().header_range.end - OwnTables().header) {
    const CfiTables& own = OwnTables();
    bytes = own.header_range.end - own.header;
    for (size_t i = 0; i < bytes; ++i) Restore(i);
    delta = memory.address() - own.header;
    const MemoryRange range{memory.address(), memory.address() + bytes};
    tables = {memory.address(), range, own.entries + delta, range};
  }
  // Not memcpy: the tables are no variable that a sanitizer knows.
  void Restore(size_t at) const { memory.data()[at] = LoadUnaligned<char>(OwnTables().header + at); }

  size_t bytes;
  Fenced memory;
  uintptr_t delta;
  CfiTables tables;
};

bool Same(const Row& a, const Row& b, uintptr_t delta) {
  bool same = a.cfa.kind() == b.cfa.kind() && a.cfa_register == b.cfa_register;
  if (a.cfa.kind() == RuleKind::kOffset) same &= a.cfa.value() == b.cfa.value();
  for (int i = 0; i < arch::kColumns; ++i) {
    const bool address = a.columns[i].kind() == RuleKind::kExpression;
    const auto value = static_cast<uintptr_t>(a.columns[i].value()) + (address ? delta : 0);
    same &= a.columns[i].kind() == b.columns[i].kind() && static_cast<uintptr_t>(b.columns[i].value()) == value;
  }
  return same;
}

// Addresses all over the code of this program.
std::vector<uintptr_t> SomePcs(size_t count) {
  const int module = FindModule(reinterpret_cast<uintptr_t>(&OwnTables));
  const MemoryRange code = ModuleAt(static_cast<uint32_t>(module)).code;
  std::vector<uintptr_t> pcs;
  for (size_t i = 0; i < count; ++i) pcs.push_back(code.begin + (code.end - code.begin) / count * i + i % 7);
  return pcs;
}

TEST(UnwindCfi, LinearWalkFindsWhatTheTableFinds) {
  const MovedTables moved;
  moved.memory.data()[2] = static_cast<char>(dwarf::kOmit);
  int found = 0;
  for (const uintptr_t pc : SomePcs(300)) {
    Row by_table;
    Row by_walk;
    const bool has_row = FindRow(OwnTables(), pc, &by_table);
    ASSERT_EQ(has_row, FindRow(moved.tables, pc + moved.delta, &by_walk)) << std::hex << pc;
    if (!has_row) continue;
    EXPECT_TRUE(Same(by_table, by_walk, moved.delta)) << std::hex << pc;
    ++found;
  }
  EXPECT_GT(found, 100);
}

TEST(UnwindCfi, BrokenTablesNeitherCrashNorHang) {
  const MovedTables moved;
  const std::vector<uintptr_t> pcs = SomePcs(40);
  std::mt19937_64 random(20261122);
  RegisterFile registers;
  for (int i = 0; i < arch::kRegisters; ++i) registers.Set(i, random());
  std::vector<size_t> changed;
  int rows = 0;
  int refused = 0;
  for (int round = 0; round < 1500; ++round) {
    for (const size_t at : changed) moved.Restore(at);
    changed.clear();
    const size_t header_bytes = moved.tables.entries - moved.tables.header;
    // All over, or half of the time where a pc of ours is described.
    for (int i = 0; i < 1 + round % 60; ++i) {
      changed.push_back(round % 2 == 0 ? random() % moved.bytes : header_bytes + random() % 4096);
      moved.memory.data()[changed.back()] = static_cast<char>(random());
    }
    if (round % 3 == 0) {
      changed.push_back(static_cast<size_t>(round % 16));
      moved.memory.data()[round % 16] = static_cast<char>(random());
    }
    for (const uintptr_t pc : pcs) {
      Row row;
      if (!FindRow(moved.tables, pc + moved.delta, &row)) {
        ++refused;
        continue;
      }
      ++rows;
      Compact(row, moved.tables, pc);
    }
  }
  EXPECT_GT(rows, 1000);
  EXPECT_GT(refused, 1000);
}

// One CIE and one FDE for the 256 bytes of code that begin at kCode.
constexpr uintptr_t kCode = 0x10000;
class Built {
 public:
  Built(const char* augmentation, std::vector<uint8_t> augmentation_data, std::vector<uint8_t> initial,
        std::vector<uint8_t> program) {
    Append32(0);
    Append32(0);  // a CIE
    bytes_.push_back(1);
    for (const char* c = augmentation; *c != '\0'; ++c) bytes_.push_back(static_cast<uint8_t>(*c));
    bytes_.insert(bytes_.end(), {0, 1, 0x78, arch::kReturnColumn});  // factors 1 and -8
    if (augmentation[0] == 'z') bytes_.push_back(static_cast<uint8_t>(augmentation_data.size()));
    Append(augmentation_data);
    Append(initial);
    Set32(0, static_cast<uint32_t>(bytes_.size() - 4));
    const size_t fde = bytes_.size();
    Append32(0);
    Append32(static_cast<uint32_t>(bytes_.size()));  // back to the CIE
    Append64(kCode);
    Append64(256);
    if (augmentation[0] == 'z') bytes_.push_back(0);
    Append(program);
    Set32(fde, static_cast<uint32_t>(bytes_.size() - fde - 4));
    Append32(0);
    header_[1] = dwarf::kUdata8;
    header_[2] = dwarf::kOmit;
  }
  bool Find(uintptr_t offset, Row* row) {
    const auto header = reinterpret_cast<uintptr_t>(header_);
    const auto begin = reinterpret_cast<uintptr_t>(bytes_.data());
    const CfiTables tables{header, {header, header + sizeof(header_)}, begin, {begin, begin + bytes_.size()}};
    return FindRow(tables, kCode + offset, row);
  }

 private:
  void Append(const std::vector<uint8_t>& more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  void Append32(uint32_t value) { AppendRaw(&value, 4); }
  void Append64(uint64_t value) { AppendRaw(&value, 8); }
  void AppendRaw(const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    bytes_.insert(bytes_.end(), from, from + size);
  }
  void Set32(size_t at, uint32_t value) { std::memcpy(&bytes_[at], &value, 4); }

  std::vector<uint8_t> bytes_;
  uint8_t header_[16] = {1, 0, 0, 0};
};

const std::vector<uint8_t> kInitial = {dwarf::kDefCfa, arch::kSp, 8, dwarf::kOffset | arch::kReturnColumn, 1};

TEST(UnwindCfi, RunsPrograms) {
  Built built("zR", {dwarf::kAbsolute}, kInitial,
              {dwarf::kAdvanceLoc | 4,
               dwarf::kDefCfaOffset,
               16,
               dwarf::kOffset | arch::kFp,
               2,
               dwarf::kAdvanceLoc1,
               12,
               dwarf::kRememberState,
               dwarf::kDefCfaRegister,
               arch::kFp,
               dwarf::kAdvanceLoc2,
               16,
               0,
               dwarf::kRestoreState,
               dwarf::kRestore | arch::kFp,
               dwarf::kAdvanceLoc4,
               16,
               0,
               0,
               0,
               dwarf::kDefCfaSf,
               arch::kSp,
               0x7d,
               dwarf::kAdvanceLoc | 16,
               dwarf::kUndefined,
               arch::kReturnColumn});
  Row row;
  ASSERT_TRUE(built.Find(0, &row));
  EXPECT_EQ(row.cfa_register, arch::kSp);
  EXPECT_EQ(row.cfa.value(), 8);
  EXPECT_EQ(row.columns[arch::kRaIndex].value(), -8);
  ASSERT_TRUE(built.Find(4, &row));
  EXPECT_EQ(row.cfa.value(), 16);
  EXPECT_EQ(row.columns[arch::kFpIndex].kind(), RuleKind::kOffset);
  EXPECT_EQ(row.columns[arch::kFpIndex].value(), -16);
  ASSERT_TRUE(built.Find(17, &row));
  EXPECT_EQ(row.cfa_register, arch::kFp);
  ASSERT_TRUE(built.Find(33, &row));
  EXPECT_EQ(row.cfa_register, arch::kSp) << "restored";
  EXPECT_EQ(row.columns[arch::kFpIndex].kind(), RuleKind::kUnspecified);
  ASSERT_TRUE(built.Find(50, &row));
  EXPECT_EQ(row.cfa.value(), 24) << "factored, signed";
  ASSERT_TRUE(built.Find(70, &row));
  EXPECT_EQ(row.columns[arch::kRaIndex].kind(), RuleKind::kUndefined);
  EXPECT_FALSE(built.Find(256, &row)) << "beyond the range";
}

TEST(UnwindCfi, ReadsAugmentations) {
  Row row;
  EXPECT_TRUE(Built("", {}, kInitial, {}).Find(9, &row));
  EXPECT_FALSE(row.is_signal_frame);
  EXPECT_TRUE(Built("zRS", {dwarf::kAbsolute}, kInitial, {}).Find(9, &row));
  EXPECT_TRUE(row.is_signal_frame);
  EXPECT_TRUE(Built("zPLR", {dwarf::kUdata4, 1, 2, 3, 4, 0x1b, dwarf::kAbsolute}, kInitial, {}).Find(9, &row));
  EXPECT_TRUE(Built("zRB", {dwarf::kAbsolute}, kInitial, {}).Find(9, &row));
  EXPECT_TRUE(Built("zR?", {dwarf::kAbsolute, 1, 2, 3}, kInitial, {}).Find(9, &row)) << "skipped by its length";
  EXPECT_FALSE(Built("eh", {}, kInitial, {}).Find(9, &row)) << "GCC 2";
  EXPECT_FALSE(Built("zR", {0x77}, kInitial, {}).Find(9, &row)) << "unknown encoding";
}

TEST(UnwindCfi, RefusesBrokenPrograms) {
  Row row;
  EXPECT_FALSE(Built("", {}, kInitial, {dwarf::kRestoreState}).Find(9, &row));
  EXPECT_FALSE(Built("", {}, kInitial, std::vector<uint8_t>(100, dwarf::kRememberState)).Find(9, &row));
  EXPECT_FALSE(Built("", {}, kInitial, {0x3c}).Find(9, &row)) << "unknown instruction";
  EXPECT_FALSE(Built("", {}, kInitial, {dwarf::kDefCfaExpression, 100, 1}).Find(9, &row)) << "longer than the entry";
  EXPECT_FALSE(Built("", {}, kInitial, {dwarf::kDefCfa, 200, 1, 8}).Find(9, &row)) << "no such register";
  EXPECT_FALSE(Built("", {}, {dwarf::kRestore | 3}, {}).Find(9, &row)) << "restore in the CIE";
}

}  // namespace
}  // namespace memtrace::unwind
