// What unwinding needs to know about one pc, in 8 bytes, and the cache of it.
#ifndef MEMTRACE_UNWIND_RULES_H_
#define MEMTRACE_UNWIND_RULES_H_

#include <atomic>
#include <bit>
#include <cstdint>

#include "libmemtrace/unwind/arch.h"
#include "libmemtrace/unwind/cfi.h"

namespace memtrace::unwind {

enum class StepKind : uint8_t {
  kNone = 0,      // nothing is known: not code, or it could not be found out now. Never cached
  kSp,            // CFA = sp + cfa_words
  kFp,            // CFA = fp + cfa_words
  kFpIndirect,    // CFA = *(fp + cfa_words), fp saved at fp + fp_words: a realigned stack
  kFramePointer,  // no information: the frame pointer is all there is
  kSignal,        // the kernel's signal frame lies at sp
  kEnd,           // outermost frame
  kFull,          // needs more registers than sp and fp
};

// Offsets are in words of 8 bytes. Fits into the word that the cache keeps.
struct CompactRule {
  uint16_t module = 0;
  int16_t cfa_words = 0;
  int16_t fp_words = kFpUnchanged;  // fp saved at CFA - fp_words; kFpIndirect: at fp + fp_words
  StepKind kind = StepKind::kNone;
  uint8_t ra_words = 0;  // return address saved at CFA - ra_words; 0: it is in the link register

  static constexpr int16_t kFpUnchanged = INT16_MIN;
  static constexpr uint8_t kAboveFp = 255;  // of ra_words: in the word above the saved fp, as arm64 pairs them
};
static_assert(sizeof(CompactRule) == sizeof(uint64_t));

// The rule of a row that FindRow found at `pc`; kFull where it does not fit. The module is left 0.
CompactRule Compact(const Row& row, const CfiTables& tables, uintptr_t pc);

// Process-wide, 2-way, 256 KiB. Reads and writes are lock-free and may be interrupted anywhere. An entry
// is two words, `value` and `check` = pc ^ Mix(value), stored without order between them: a reader that
// sees halves of two entries finds that the check does not fit.
class RuleCache {
 public:
  static bool Find(uintptr_t pc, CompactRule* rule) {
    const Set& set = sets_[Index(pc)];
    for (const Entry& entry : set.entries) {
      const uint64_t value = entry.value.load(std::memory_order_relaxed);
      if ((entry.check.load(std::memory_order_relaxed) ^ Mix(value)) == pc) [[likely]] {
        *rule = std::bit_cast<CompactRule>(value);
        return true;
      }
    }
    return false;
  }
  static void Insert(uintptr_t pc, CompactRule rule);
  static void Erase(uintptr_t pc);
  // Erases the rules of all modules for which `is_gone` says so.
  static void EraseModules(bool (*is_gone)(uint16_t module));

 private:
  static constexpr int kIndexBits = 13;
  static constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  struct Entry {
    std::atomic<uint64_t> value;
    std::atomic<uint64_t> check;
  };
  struct alignas(32) Set {
    Entry entries[2];
  };

  static uint64_t Mix(uint64_t value) { return value * kMultiplier; }
  static uint64_t Index(uintptr_t pc) { return pc * kMultiplier >> (64 - kIndexBits); }
  static void Clear(Entry* entry);

  static Set sets_[1 << kIndexBits];
};

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_RULES_H_
