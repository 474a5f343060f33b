#include "libmemtrace/core/capture.h"

#include "libmemtrace/core/module_records.h"

namespace memtrace::core {
namespace {

// The node of a stack that was walked in full.
uint32_t InternAll(const unwind::Registers& caller, const unwind::StackLimits& limits,
                   unwind::RememberedStack* memory) {
  auto* frames = reinterpret_cast<unwind::Frame*>(memory->fresh());
  const unwind::Unwound stack = unwind::Unwind(caller, limits, frames, memory->capacity);
  NoteModules();
  uint32_t node = 0;
  for (uint32_t i = stack.frames; i > 0; --i) {
    const unwind::Frame& frame = frames[i - 1];
    uint16_t flags = frame.flags;
    if (i == stack.frames && stack.truncated) flags |= format::kNodeTruncated;
    node = g_process.stacks.Intern(node, frame.pc, frame.module, flags);
    if (node == 0) break;
  }
  return node;
}

// Gives the frames that are new, inside of the `kept` outermost ones, their nodes. Returns that of the stack.
uint32_t InternFresh(unwind::RememberedStack* stack, uint32_t kept) {
  NoteModules();
  uint32_t node = kept == 0 ? 0 : stack->frames()[kept - 1].node;
  for (uint32_t i = kept; i < stack->count; ++i) {
    unwind::RememberedFrame& frame = stack->frames()[i];
    uint16_t flags = frame.flags & format::kNodeInterrupted;
    if (i == 0 && stack->truncated) flags |= format::kNodeTruncated;
    node = g_process.stacks.Intern(node, stack->LookupPc(i), frame.module, flags);
    frame.node = node;
    if (node == 0) {  // no room: what lies further in has no node to be remembered with
      stack->count = stack->verifiable = 0;
      break;
    }
  }
  return node;
}

}  // namespace

void VerifyStack(const unwind::Registers& caller, const unwind::StackLimits& limits, unwind::RememberedStack* stack) {
  auto* frames = reinterpret_cast<unwind::Frame*>(stack->fresh());  // the walk is done with it
  const unwind::Unwound full = unwind::Unwind(caller, limits, frames, stack->capacity);
  bool same = full.frames == stack->count && full.truncated == stack->truncated;
  for (uint32_t i = 0; same && i < full.frames; ++i) {
    const uint32_t outwards = stack->count - 1 - i;
    same = frames[i].pc == stack->LookupPc(outwards) && frames[i].module == stack->frames()[outwards].module;
  }
  if (!same) g_process.recording.CountDrop(format::Drop::kStackDifference);
}

uint32_t CaptureMovedStack(const unwind::Registers& caller, const unwind::StackLimits& limits,
                           unwind::RememberedStack* stack) {
  uint32_t kept = 0;
  const bool remembered = unwind::UnwindRemembering(caller, limits, stack, &kept);
  if (remembered && g_process.options.unwinder == config::Unwinder::kVerify) VerifyStack(caller, limits, stack);
  const uint32_t node = remembered ? InternFresh(stack, kept) : InternAll(caller, limits, stack);
  return node == 0 ? format::kUnknownSite : node;
}

}  // namespace memtrace::core
