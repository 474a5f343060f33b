// What unwinding needs to know about one pc, in 8 bytes, and the cache of it.
#ifndef MEMTRACE_UNWIND_RULES_H_
#define MEMTRACE_UNWIND_RULES_H_

#include <atomic>
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

// Offsets are in words of 8 bytes. One word, taken apart by shifts: the compiler keeps it in a register.
class CompactRule {
 public:
  // On either architecture the frame pointer is never saved directly below the CFA: this value stands
  // for an unchanged one, and may be read all the same, without a branch.
  static constexpr int16_t kFpUnchanged = 1;
  static constexpr uint8_t kLinkRegister = 0;
  // In the word above the saved frame pointer, as arm64 pairs them.
  static constexpr uint8_t kAboveFp = 255;

  constexpr CompactRule() = default;
  constexpr explicit CompactRule(uint64_t word) : word_(word) {}
  constexpr explicit CompactRule(StepKind kind, int16_t cfa_words = 0, int16_t fp_words = kFpUnchanged,
                                 uint8_t ra_words = 1)
      : word_(uint64_t{static_cast<uint16_t>(cfa_words)} << 48 | uint64_t{static_cast<uint16_t>(fp_words)} << 32 |
              uint64_t{ra_words} << 24 | uint64_t{static_cast<uint8_t>(kind)} << 16) {}
  constexpr CompactRule InModule(uint16_t module) const { return CompactRule((word_ & ~uint64_t{0xffff}) | module); }

  constexpr uint64_t word() const { return word_; }
  constexpr uint16_t module() const { return static_cast<uint16_t>(word_); }
  constexpr StepKind kind() const { return static_cast<StepKind>(word_ >> 16 & 0xff); }
  constexpr bool is_simple() const { return kind() <= StepKind::kFp && kind() != StepKind::kNone; }
  constexpr uint64_t cfa_bytes() const { return Words(48); }
  // Saved at CFA - fp_bytes; kFpIndirect: at fp - fp_bytes.
  constexpr uint64_t fp_bytes() const { return Words(32); }
  constexpr bool fp_unchanged() const { return static_cast<int16_t>(word_ >> 32) == kFpUnchanged; }
  // Saved at CFA - ra_bytes; 0: it is in the link register.
  constexpr uint64_t ra_bytes() const {
    const uint64_t words = word_ >> 24 & 0xff;
    if (arch::kReturnAddressIsPushed) return 8;
    return words == kAboveFp ? fp_bytes() - 8 : words * 8;
  }

 private:
  constexpr uint64_t Words(int shift) const {
    return static_cast<uint64_t>(int64_t{static_cast<int16_t>(word_ >> shift)} * 8);
  }

  uint64_t word_ = 0;
};
static_assert(CompactRule(StepKind::kFp, -3, 5).cfa_bytes() == uint64_t{0} - 24);

// The rule of a row that FindRow found at `pc`; kFull where it does not fit. The module is left 0.
CompactRule Compact(const Row& row, const CfiTables& tables, uintptr_t pc);

// Process-wide, 2-way, 256 KiB. Reads and writes are lock-free and may be interrupted anywhere. An entry
// is two words, `value` and `check` = key ^ Mix(value), stored without order between them: a reader that
// sees halves of two entries finds that the check does not fit.
//
// The key of a frame is its pc to look up, plus one: the return address itself of most frames.
class RuleCache {
 public:
  static constexpr uint64_t kBytes = 256 * 1024;
  // kNone if it is not there.
  static CompactRule Find(uintptr_t key) {
    const Set& set = SetOf(key);
    for (const Entry& entry : set.entries) {
      const uint64_t value = entry.value.load(std::memory_order_relaxed);
      if ((entry.check.load(std::memory_order_relaxed) ^ Mix(value)) == key) [[likely]]
        return CompactRule(value);
    }
    return CompactRule();
  }
  static void Insert(uintptr_t key, CompactRule rule);
  static void Erase(uintptr_t key);
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
  // Cheaper than a multiplication, on the longest chain of dependencies of a walk.
  static Set& SetOf(uintptr_t key) { return sets_[(key >> 2 ^ key >> (2 + kIndexBits)) & ((1u << kIndexBits) - 1)]; }
  static void Clear(Entry* entry);

  static Set sets_[1 << kIndexBits];
  static_assert(sizeof(Set) << kIndexBits == kBytes);
};

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_RULES_H_
