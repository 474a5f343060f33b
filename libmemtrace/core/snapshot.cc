#include "libmemtrace/core/snapshot.h"

#include <asm/errno.h>

#include "libmemtrace/core/lost_blocks.h"
#include "libmemtrace/core/process.h"
#include "libmemtrace/core/snapshot_writer.h"
#include "libmemtrace/core/summary.h"
#include "libmemtrace/core/timeline.h"
#include "libmemtrace/rt/own_stack.h"

namespace memtrace::core {

namespace {

// A handler may stand on an alternate stack of 8 KiB, of which the kernel's frame takes 3; an allocation, on that of a
// coroutine.
constexpr size_t kStackBytes = 128 * 1024;

struct Order {
  format::Trigger trigger;
  uint32_t percent;
  uintptr_t sp;  // of the program's stack
  bool done;
};

bool TakeHere(const Order& order) {
  Process& p = g_process;
  const auto [trigger, percent, sp, done] = order;
  if (p.mode.load(std::memory_order_acquire) != Mode::kOn || !p.recording.open()) return false;
  if (p.snapshot_running.exchange(true, std::memory_order_acquire)) return false;
  int result = -ENOMEM;
  const bool look =
      Atomic(p.recording.header().look_wanted).exchange(0, std::memory_order_relaxed) != 0 || p.options.reachability;
  if (p.cgroup.pids_directory[0] == '\0') rt::FindPids("/proc/self", "", &p.cgroup);
  if (trigger != format::Trigger::kThreshold) RecordPoint();  // a threshold snapshot comes from a point just recorded
  void* workspace = rt::MapAnonymous(kSnapshotWorkspaceBytes);
  if (workspace != nullptr) {
    const rt::Text recording(p.recording.path());
    const rt::Text stem = recording.First(recording.size - kRecordingEnding.size);
    const uint32_t number = Load(p.recording.header().snapshots_taken) + 1;
    rt::TextBuffer<1024> path;
    const int names = OpenPerfMap(static_cast<uint32_t>(p.pid));
    result = WriteSnapshot(
        {p.recording.data(), p.recording.reserved_bytes(), "/proc/self", &p.cgroup, stem, number, trigger, percent,
         static_cast<uint8_t*>(workspace), names, look ? format::LookState::kUnderWay : format::LookState::kNone},
        &path);
    if (names >= 0) rt::Close(names);
    if (result == 0 && p.options.termination_log[0] != '\0') {
      WriteSummary(p.options.termination_log, path.text(), trigger, percent);
    }
    rt::Unmap(workspace, kSnapshotWorkspaceBytes);
    if (result == 0 && look) LookForLostBlocks(path.c_str(), sp);
  }
  format::Header& h = p.recording.header();
  if (result == 0) Atomic(h.snapshots_taken).fetch_add(1, std::memory_order_relaxed);
  if (result != 0) p.recording.RaiseFlag(format::kFlagSnapshotFailed);
  p.snapshot_running.store(false, std::memory_order_release);
  return result == 0;
}

void Take(void* context) {
  auto* order = static_cast<Order*>(context);
  if (g_process.mode.load(std::memory_order_acquire) == Mode::kOn && InForkedChild()) BecomeChild();
  order->done = TakeHere(*order);
}

}  // namespace

bool TakeSnapshot(format::Trigger trigger, uint32_t percent) {
  Order order{trigger, percent, reinterpret_cast<uintptr_t>(__builtin_frame_address(0)), false};
  return rt::CallOnOwnStack(kStackBytes, &Take, &order) && order.done;
}

void SnapshotFromSignal() {
  ThreadState* thread = &t_state;
  if (thread->in_memtrace != 0) {
    thread->snapshot_wanted = 1;
    return;
  }
  thread->in_memtrace = 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  TakeSnapshot(format::Trigger::kSignal, 0);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread->in_memtrace = 0;
}

}  // namespace memtrace::core
