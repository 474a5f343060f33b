#include "libmemtrace/core/process.h"

#include <asm/errno.h>
#include <asm/ioctls.h>
#include <elf.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "libmemtrace/core/directory.h"
#include "libmemtrace/core/footprint.h"
#include "libmemtrace/core/identity.h"
#include "libmemtrace/core/rate.h"
#include "libmemtrace/core/sampler.h"
#include "libmemtrace/core/thread_buffers.h"
#include "libmemtrace/core/timeline.h"
#include "libmemtrace/rt/syscall.h"
#include "libmemtrace/unwind/modules.h"

namespace memtrace::core {

constinit Process g_process;
constinit Filter g_filter;

namespace {

using rt::Address;
using rt::Syscall;

// Names that are tried when a recording of this process began in the same second (exec).
constexpr int kNameAttempts = 64;

bool WantsLine(const Process& p) {
  if (p.options.quiet) return false;
  if (p.options.run_pid == static_cast<uint32_t>(p.pid)) return true;
  char terminal[64] = {};  // struct termios of the kernel is smaller
  return !rt::IsError(Syscall(__NR_ioctl, 2, TCGETS, Address(terminal)));
}

void ComplainOfFailure(const Process& p, const char* directory, int error) {
  if (p.options.quiet) return;
  rt::TextBuffer<480> line;
  line.Add("cannot record to ").Add(directory).Add(": error ").AddUint(static_cast<uint64_t>(-error));
  switch (-error) {
    case ENOSPC:
      line.Add(" (no space left)");
      break;
    case EACCES:
      line.Add(" (permission denied)");
      break;
    case EROFS:
      line.Add(" (read-only file system)");
      break;
    case ENOENT:
      line.Add(" (no such directory)");
      break;
    case EMFILE:
      line.Add(" (too many open files)");
      break;
    case ENOMEM:
      line.Add(" (no memory)");
      break;
    case EFBIG:
      line.Add(" (file size limit)");
      break;
    default:
      break;
  }
  rt::Complain(line.Add("; set MEMTRACE_DIR to a writable directory. The program runs unrecorded.").text());
}

struct Beginning {
  format::Origin origin;
  uint64_t inherited_bytes;  // as in the header
};

void DescribeProcess(format::Header* h, const Identity& identity, Beginning beginning) {
  const Process& p = g_process;
  h->pid = identity.pid;
  h->parent_pid = identity.parent_pid;
  h->uid = identity.uid;
  h->origin = static_cast<uint32_t>(beginning.origin);
  h->inherited_bytes = beginning.inherited_bytes;
  h->heap_bytes_before = p.surroundings.heap_bytes_before;
  h->process_start_ticks = identity.start_ticks;
  h->process_start_ns = identity.start_ns;
  h->pid_namespace = identity.pid_namespace;
  for (size_t i = 0; i < sizeof(h->boot_id); ++i) h->boot_id[i] = identity.boot_id[i];
  h->start_ns = rt::NowNanoseconds(rt::Clock::kRealtime);
  h->start_monotonic_ns = rt::NowNanoseconds(rt::Clock::kMonotonic);
  h->libc = static_cast<uint32_t>(p.surroundings.libc);
  h->flags |= p.surroundings.flags;
  h->cgroup_limit_bytes = p.cgroup.version != 0 ? p.cgroup.limit_bytes : format::kUnknown;
#if defined(__x86_64__)
  h->machine = EM_X86_64;
#else
  h->machine = EM_AARCH64;
#endif
  constexpr format::Sampling kSampling[] = {format::Sampling::kExact, format::Sampling::kFixed,
                                            format::Sampling::kAuto};
  h->sampling = static_cast<uint32_t>(kSampling[static_cast<int>(p.options.sample)]);
  h->rates[0] = {InitialRate(), 0, h->start_ns, static_cast<uint32_t>(format::RateReason::kInitial), 0};
}

int PublishRecording(uint64_t start_ns) {
  Process& p = g_process;
  int result = -EEXIST;
  for (int i = 0; i < kNameAttempts && result == -EEXIST; ++i) {
    rt::TextBuffer<256> name;
    name.Add(p.executable).Add('.').AddUint(static_cast<uint64_t>(p.pid)).Add('.');
    name.AddStamp(start_ns / 1'000'000'000 + static_cast<uint64_t>(i)).Add(".rec");
    result = p.recording.Publish(name.c_str());
  }
  return result;
}

// Opens a recording for the present process. Returns 0, or a negative error number with nothing left behind.
int OpenRecording(const char* directory, const Identity& identity, Beginning beginning) {
  Process& p = g_process;
  const bool exact = p.options.sample == config::Sample::kExact;
  int result = p.recording.Create(directory, p.options.max_bytes);
  if (result == 0) {
    format::Header& h = p.recording.header();
    DescribeProcess(&h, identity, beginning);
    const bool opened = p.stacks.Open(&p.recording) && p.live.Open(&p.recording) && p.sites.Open(&p.recording);
    RecordIdentity(&p.recording, p.cgroup, p.options.store_command);
    if (!p.recording.fully_locked()) p.recording.RaiseFlag(format::kFlagUnlocked);
    result = opened ? PublishRecording(h.start_ns) : -ENOSPC;
  }
  if (result != 0) {
    p.recording.Remove();
    return result;
  }
  if (exact && !p.bypassed()) g_filter.Saturate();
  StartBudget();
  p.live_entries.store(0, std::memory_order_relaxed);
  p.thresholds_taken.store(0, std::memory_order_relaxed);
  p.next_tick_live_bytes.store(0, std::memory_order_relaxed);
  p.next_tick_ns.store(0, std::memory_order_relaxed);
  return 0;
}

void WatchForForks() {
  constexpr int kWipeOnFork = 18;  // MADV_WIPEONFORK
  const uint64_t page = rt::PageBytes();
  void* memory = rt::MapAnonymous(page);
  if (memory == nullptr) return;
  // qemu-user says yes to every advice and follows none.
  constexpr int kNoSuchAdvice = 1 << 20;
  const auto is_taken = [memory, page](int advice) {
    return !rt::IsError(Syscall(__NR_madvise, Address(memory), static_cast<long>(page), advice));
  };
  if (is_taken(kNoSuchAdvice) || !is_taken(kWipeOnFork)) {
    rt::Unmap(memory, page);
    return;
  }
  g_process.alive = static_cast<std::atomic<uint32_t>*>(memory);
  g_process.alive->store(1, std::memory_order_relaxed);
}

// Whether no other thread is still in the slow path. Requires that none can enter any more.
bool OthersHaveLeft() {
  // Stores of in_memtrace are plain: the kernel makes those of running threads visible (Linux 4.14), or time does.
  constexpr int kRegister = 1 << 4;
  constexpr int kPrivateExpedited = 1 << 3;
  if (rt::IsError(Syscall(__NR_membarrier, kRegister, 0)) ||
      rt::IsError(Syscall(__NR_membarrier, kPrivateExpedited, 0))) {
    rt::SleepNanoseconds(10'000'000);
  }
  const Recording& recording = g_process.recording;
  for (uint32_t i = 0; i < Load(recording.header().thread_count, std::memory_order_acquire); ++i) {
    const format::ThreadBuffer* buffer = ThreadBufferAt(recording, i);
    if (buffer->scratch == 0 || Scratch(buffer)->state == &t_state) continue;
    // The memory of a dead thread may be gone.
    ThreadState state{};
    const iovec to{&state, sizeof(state)};
    const iovec from{const_cast<ThreadState*>(Scratch(buffer)->state), sizeof(state)};
    const long size = Syscall(__NR_process_vm_readv, rt::ProcessId(), Address(&to), 1, Address(&from), 1, 0);
    if (size == static_cast<long>(sizeof(state)) && state.in_memtrace != 0) return false;
  }
  return true;
}

// Leaves the recording and all that belongs to it behind.
void Forget() {
  Process& p = g_process;
  p.recording.Close();
  p.stacks.ForgetInChild();
  p.live.ForgetInChild();
  p.sites.ForgetInChild();
  g_filter.Clear();
  for (rt::Lock* lock : {&p.module_lock, &p.rate_lock, &p.attach_lock, &p.timeline_lock}) lock->Reset();
  p.snapshot_running.store(false, std::memory_order_relaxed);
  p.copy.store(0, std::memory_order_relaxed);
  p.brink = false;
}

// The same in the process that recorded: also what lies beside the recording. Requires that nobody uses it any more.
void ForgetOwn() {
  Process& p = g_process;
  ReleaseScratch(p.recording, p.options.depth);
  p.stacks.Release();
  Forget();
}

void SwitchOn() {
  Process& p = g_process;
  p.generation.fetch_add(1, std::memory_order_relaxed);
  p.mode.store(Mode::kOn, std::memory_order_release);
}

}  // namespace

bool Start(const char* const* environment, const Surroundings& surroundings) {
  Process& p = g_process;
  p.failure = 0;
  if (p.recording.open()) {
    if (p.mode.load(std::memory_order_acquire) == Mode::kStopped && !OthersHaveLeft()) {
      p.failure = -EBUSY;
      return false;
    }
    p.mode.store(Mode::kStarting, std::memory_order_relaxed);
    ForgetOwn();
  }
  p.mode.store(Mode::kStarting, std::memory_order_relaxed);
  p.surroundings = surroundings;
  p.pid = rt::ProcessId();
  config::ReadOptions(environment, &p.options, &rt::Complain);
  rt::TextBuilder name(p.executable, sizeof(p.executable));
  ReadExecutableName(&name);
  p.mode.store(Mode::kOff, std::memory_order_relaxed);
  if (!config::Selects(p.options, name.text())) return false;

  const Identity identity = ReadIdentity();
  rt::FindMemoryCgroup("/proc/self", "", &p.cgroup);
  rt::TextBuilder directory(p.directory, sizeof(p.directory));
  int result = ChooseDirectory(p.options.directory, &directory);
  if (result == 0) {
    const Found found =
        TidyDirectory(directory.c_str(), {name.text(), p.options.keep_files, identity.pid, identity.parent_pid,
                                          identity.start_ticks, identity.pid_namespace, p.options.keep_always});
    if (found.parent_is_recorded && !p.options.follow_exec && !surroundings.attached) return false;
    const Beginning late{format::Origin::kAttach, surroundings.attached ? ResidentAnonymousBytes() : 0};
    result =
        OpenRecording(directory.c_str(), identity, surroundings.attached ? late : Beginning{format::Origin::kStart, 0});
  }
  p.failure = result;
  if (result != 0) {
    ComplainOfFailure(p, p.options.directory, result);
    return true;
  }
  if (p.alive == nullptr) WatchForForks();
  SwitchOn();
  if (WantsLine(p)) {
    rt::TextBuffer<480> line;
    rt::Complain(line.Add("recording to ").Add(p.recording.path()).text());
  }
  return true;
}

void BecomeChild() {
  Process& p = g_process;
  if (p.alive != nullptr) {
    uint32_t wiped = 0;
    if (!p.alive->compare_exchange_strong(wiped, 1, std::memory_order_acquire)) return;
  }
  const bool followed = p.options.follow_fork && p.mode.load(std::memory_order_relaxed) == Mode::kOn;
  p.mode.store(Mode::kStarting, std::memory_order_relaxed);
  p.pid = rt::ProcessId();
  // The parent's file is not ours any more, but says what we have from it.
  const uint64_t inherited = followed && p.recording.MapParents() ? SumLive(p.recording).bytes : format::kUnknown;
  Forget();
  p.copy_progress = nullptr;
  unwind::ResetAfterFork();
  if (!followed || OpenRecording(p.directory, ReadIdentity(), {format::Origin::kFork, inherited}) != 0) {
    p.mode.store(Mode::kOff, std::memory_order_release);
    return;
  }
  SwitchOn();
}

void StopRecording() {
  Process& p = g_process;
  Mode on = Mode::kOn;
  RecordPoint();
  if (!p.mode.compare_exchange_strong(on, Mode::kStopped, std::memory_order_acq_rel)) return;
  format::Header& h = p.recording.header();
  Store(h.wanted, static_cast<uint32_t>(format::Wanted::kStop));
  Store(h.end_ns, rt::NowNanoseconds(rt::Clock::kRealtime));
  p.recording.RaiseFlag(format::kFlagStopped);
  p.generation.fetch_add(1, std::memory_order_relaxed);
}

bool Release() {
  Process& p = g_process;
  Mode stopped = Mode::kStopped;
  if (!p.mode.compare_exchange_strong(stopped, Mode::kOff, std::memory_order_acq_rel)) return false;
  Store(p.recording.header().state, static_cast<uint32_t>(format::State::kExited), std::memory_order_release);
  ForgetOwn();
  return true;
}

bool Resume() {
  Process& p = g_process;
  Mode stopped = Mode::kStopped;
  if (!p.mode.compare_exchange_strong(stopped, Mode::kStarting, std::memory_order_acq_rel)) return false;
  if (!OthersHaveLeft()) {
    p.mode.store(Mode::kStopped, std::memory_order_release);
    return false;
  }
  ForgetOwn();
  if (OpenRecording(p.directory, ReadIdentity(), {format::Origin::kAttach, ResidentAnonymousBytes()}) != 0) {
    p.mode.store(Mode::kOff, std::memory_order_release);
    return false;
  }
  SwitchOn();
  return true;
}

void Finish() {
  Process& p = g_process;
  const Mode mode = p.mode.load(std::memory_order_acquire);
  if ((mode != Mode::kOn && mode != Mode::kStopped) || InForkedChild() || rt::ProcessId() != p.pid) return;
  format::Header& h = p.recording.header();
  if (mode == Mode::kStopped) {  // its end was written then
    Store(h.state, static_cast<uint32_t>(format::State::kExited), std::memory_order_release);
    return;
  }
  if (!p.options.keep_always && h.snapshots_taken == 0 && !HeldMuch()) {
    p.recording.Remove();
  } else {
    RecordPoint();
  }
  Store(h.end_ns, rt::NowNanoseconds(rt::Clock::kRealtime));
  Store(h.state, static_cast<uint32_t>(format::State::kExited), std::memory_order_release);
}

}  // namespace memtrace::core
