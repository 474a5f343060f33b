// The library in a process that was running before it: takes the orders of `memtrace attach` and `memtrace detach`, see
// format/control.h. Nothing calls this but the attacher, through the note.

#include "libmemtrace/format/control.h"

#include <asm/errno.h>

#include "libmemtrace/core/process.h"
#include "libmemtrace/interpose/control.h"
#include "libmemtrace/interpose/real.h"
#include "libmemtrace/interpose/signals.h"
#include "libmemtrace/unwind/arch.h"

// NOLINTNEXTLINE(readability-identifier-naming): the assembly below names them
extern "C" {
__attribute__((visibility("hidden"), used)) long memtrace_control(memtrace::format::Order order,
                                                                  const char* const* environment);
__attribute__((visibility("hidden"))) extern memtrace::format::ControlBlock memtrace_control_block;
}

constinit memtrace::format::ControlBlock memtrace_control_block __attribute__((used)) = {};

asm(R"(
.pushsection .note.memtrace, "a", %note
.balign 4
.long 9, 8, 1
.asciz "memtrace"
.balign 4
.long memtrace_control - .
.long memtrace_control_block - .
.popsection
)");

namespace memtrace::interpose {

void DescribeControl(bool loaded_late) {
  format::ControlBlock& block = memtrace_control_block;
  block.version = format::kControlVersion;
  block.loaded_late = loaded_late ? 1 : 0;
  static_assert(static_cast<uint32_t>(core::Mode::kOn) == format::kModeRecording);
  block.mode = reinterpret_cast<uintptr_t>(&core::g_process.mode);
  block.path = reinterpret_cast<uintptr_t>(core::g_process.recording.path());
#ifndef MEMTRACE_TLS_DYNAMIC
  // Static TLS: the same distance in every thread.
  const auto pointer = static_cast<intptr_t>(unwind::arch::ThreadPointer());
  block.thread_busy_offset = reinterpret_cast<intptr_t>(&core::t_state.in_memtrace) - pointer;
  block.thread_busy_known = 1;
#endif
}

uint64_t ValueBeforePatch(const uint64_t* value) {
  const format::ControlBlock& block = memtrace_control_block;
  for (uint32_t i = 0; i < block.patch_count && i < format::kMostPatches; ++i) {
    if (block.patches[i].address == reinterpret_cast<uintptr_t>(value)) return block.patches[i].before;
  }
  return *value;
}

namespace {

bool IsRecording() { return core::g_process.mode.load(std::memory_order_acquire) == core::Mode::kOn; }

long StartLate(const char* const* environment) {
  const format::ControlBlock& block = memtrace_control_block;
  if (IsRecording()) return -EALREADY;
  if (g_real.malloc == nullptr) return -ENOENT;
  core::Surroundings surroundings = SurroundingsNow();
  surroundings.attached = true;
  surroundings.heap_bytes_before = block.heap_bytes_before;
  const bool wanted = core::Start(environment, surroundings);
  if (core::g_process.failure != 0) return core::g_process.failure;
  if (!wanted) return -EPERM;
  TakeOverSignal(core::g_process.options.signal);
  return 0;
}

long Obey(format::Order order, const char* const* environment) {
  switch (order) {
    case format::Order::kStart:
      return StartLate(environment);
    case format::Order::kStop:
      if (!IsRecording()) return -ESRCH;
      GiveBackSignal();
      core::StopRecording();
      return 0;
    case format::Order::kRelease:
      return core::Release() ? 0 : -EBUSY;
  }
  return -EINVAL;
}

}  // namespace
}  // namespace memtrace::interpose

extern "C" long memtrace_control(memtrace::format::Order order, const char* const* environment) {
  uint8_t& busy = memtrace::core::t_state.in_memtrace;
  if (busy != 0) return -EBUSY;
  busy = 1;
  const long result = memtrace::interpose::Obey(order, environment);
  busy = 0;
  return result;
}
