// From a pc to what unwinding needs to know about it.
#ifndef MEMTRACE_UNWIND_RESOLVE_H_
#define MEMTRACE_UNWIND_RESOLVE_H_

#include <cstdint>

#include "libmemtrace/unwind/rules.h"

namespace memtrace::unwind {

// The rule for a frame whose pc to look up is `pc`, from the tables of its module, and into the cache.
// kNone: there is no code at `pc`. Cost: about a microsecond.
CompactRule Resolve(uintptr_t pc);

inline CompactRule RuleFor(uintptr_t pc) {
  const CompactRule rule = RuleCache::Find(pc + 1);
  return rule.kind() != StepKind::kNone ? rule : Resolve(pc);
}

}  // namespace memtrace::unwind

#endif  // MEMTRACE_UNWIND_RESOLVE_H_
