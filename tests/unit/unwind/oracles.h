// The same stack, by us and by two independent unwinders.
#ifndef MEMTRACE_TESTS_UNIT_UNWIND_ORACLES_H_
#define MEMTRACE_TESTS_UNIT_UNWIND_ORACLES_H_

#include <cstdint>
#include <string>

#include "libmemtrace/unwind/unwind.h"

namespace memtrace::unwind {

inline constexpr int kMaxFrames = 512;

struct OurStack {
  Frame frames[kMaxFrames];
  uint32_t count = 0;
  bool truncated = false;
};

struct Addresses {
  uintptr_t values[kMaxFrames];
  uint32_t count = 0;
};

// All begin with the return address into the function that calls them. None allocates but TakeByBoost,
// so that the others serve in signal handlers.
void TakeOurs(OurStack* stack);
void TakeByLibunwind(Addresses* addresses);
void TakeByBoost(Addresses* addresses);

// The address that other unwinders report for a frame of ours.
uintptr_t AddressOf(const OurStack& stack, uint32_t index);

// Whether the frames are the same. The innermost is the place of the call and may differ.
bool SameFrames(const OurStack& ours, const Addresses& theirs);
std::string Describe(const OurStack& ours, const Addresses& theirs);

// EXPECTs that all three agree at the place of the call and that the stack is whole.
void ExpectSameStacks(const char* what);
// How often that was called.
int StacksCompared();

// Switches single-stepping of the calling thread (x86-64).
void SetTrapFlag(bool on);

}  // namespace memtrace::unwind

#endif  // MEMTRACE_TESTS_UNIT_UNWIND_ORACLES_H_
