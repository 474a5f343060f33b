// What the rest of this folder does for a library that is loaded late, see control.cc.
#ifndef MEMTRACE_INTERPOSE_CONTROL_H_
#define MEMTRACE_INTERPOSE_CONTROL_H_

#include <cstdint>

namespace memtrace::interpose {

// Fills in what the attacher wants to know. Once, when the real functions are known.
void DescribeControl(bool loaded_late);

// The value of a symbol of another module, as it was before the attacher changed it.
uint64_t ValueBeforePatch(const uint64_t* value);

}  // namespace memtrace::interpose

#endif  // MEMTRACE_INTERPOSE_CONTROL_H_
