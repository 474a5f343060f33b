#include "libmemtrace/core/process.h"

#include <asm/errno.h>
#include <asm/ioctls.h>
#include <elf.h>
#include <sys/mman.h>

#include "libmemtrace/core/directory.h"
#include "libmemtrace/core/identity.h"
#include "libmemtrace/core/rate.h"
#include "libmemtrace/core/sampler.h"
#include "libmemtrace/core/thread_buffers.h"
#include "libmemtrace/core/timeline.h"
#include "libmemtrace/rt/syscall.h"
#include "libmemtrace/unwind/modules.h"
#include "libmemtrace/unwind/rules.h"

namespace memtrace::core {

constinit Process g_process;
constinit Filter g_filter;

namespace {

using rt::Address;
using rt::Syscall;

// Names that are tried when a recording of this process began in the same second (exec).
constexpr int kNameAttempts = 10;

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

void DescribeProcess(format::Header* h, const Identity& identity, format::Origin origin) {
  const Process& p = g_process;
  h->pid = identity.pid;
  h->parent_pid = identity.parent_pid;
  h->uid = identity.uid;
  h->origin = static_cast<uint32_t>(origin);
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
int OpenRecording(const char* directory, const Identity& identity, format::Origin origin) {
  Process& p = g_process;
  const bool exact = p.options.sample == config::Sample::kExact;
  int result = p.recording.Create(directory, p.options.max_bytes);
  if (result == 0) {
    format::Header& h = p.recording.header();
    DescribeProcess(&h, identity, origin);
    const bool opened = p.stacks.Open(&p.recording) && p.live.Open(&p.recording) && p.sites.Open(&p.recording);
    RecordIdentity(&p.recording, p.cgroup, p.options.store_command);
    if (!p.recording.fully_locked()) p.recording.RaiseFlag(format::kFlagUnlocked);
    result = opened ? PublishRecording(h.start_ns) : -ENOSPC;
  }
  if (result != 0) {
    p.recording.Remove();
    return result;
  }
  if (exact) g_filter.Saturate();
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
  if (rt::IsError(Syscall(__NR_madvise, Address(memory), static_cast<long>(page), kWipeOnFork))) {
    rt::Unmap(memory, page);
    return;
  }
  g_process.alive = static_cast<std::atomic<uint32_t>*>(memory);
  g_process.alive->store(1, std::memory_order_relaxed);
}

void SwitchOn() {
  Process& p = g_process;
  p.generation.fetch_add(1, std::memory_order_relaxed);
  p.mode.store(Mode::kOn, std::memory_order_release);
}

// Private memory of the library: statically allocated, and what it has mapped since.
uint64_t OwnBytes() {
  const Process& p = g_process;
  const uint64_t per_thread = unwind::RememberedStackBytes(p.options.depth) + rt::PageBytes();
  return sizeof(Process) + sizeof(Filter) + unwind::RuleCache::kBytes + p.stacks.private_bytes() +
         Load(p.recording.header().thread_count) * per_thread;
}

// The private memory that the process has mapped, and all that it unmapped: it cannot have held more. kUnknown without
// /proc.
uint64_t MostMapped() {
  char buffer[2048];
  rt::Text rest = rt::ReadFile("/proc/self/status", buffer, sizeof(buffer));
  constexpr rt::Text kFields[] = {"VmPeak:", "VmSize:", "VmData:"};
  uint64_t kilobytes[3] = {};
  int found = 0;
  while (!rest.empty()) {
    rt::Text line = rt::NextPart(&rest, '\n');
    const rt::Text name = rt::NextWord(&line);
    for (int i = 0; i < 3; ++i)
      found += name == kFields[i] && rt::ParseUint(rt::NextWord(&line), &kilobytes[i]) ? 1 : 0;
  }
  if (found != 3) return format::kUnknown;
  const uint64_t all = (kilobytes[0] - kilobytes[1] + kilobytes[2]) * 1024;
  const uint64_t ours = OwnBytes();
  return all > ours ? all - ours : 0;
}

// Whether the process ever held enough to keep its recording. Two samples may look like a megabyte where there is a
// tenth of it, so what few samples say is checked.
bool HeldMuch() {
  const Process& p = g_process;
  const format::Header& h = p.recording.header();
  uint64_t most = h.peak_live_bytes;
  for (uint32_t i = 0; i < Load(h.thread_count, std::memory_order_acquire); ++i) {
    const int64_t pending = ThreadBufferAt(p.recording, i)->pending_live_bytes;
    if (pending > 0) most += static_cast<uint64_t>(pending);
  }
  return most >= kWorthKeepingBytes &&
         (p.options.sample == config::Sample::kExact || MostMapped() >= kWorthKeepingBytes);
}

}  // namespace

bool Start(const char* const* environment, const Surroundings& surroundings) {
  Process& p = g_process;
  p.mode.store(Mode::kStarting, std::memory_order_relaxed);
  p.surroundings = surroundings;
  p.pid = rt::ProcessId();
  config::ReadOptions(environment, &p.options, &rt::Complain);
  rt::TextBuilder name(p.executable, sizeof(p.executable));
  ReadExecutableName(&name);
  p.mode.store(Mode::kOff, std::memory_order_relaxed);
  if (!config::Selects(p.options, name.text())) return false;

  const Identity identity = ReadIdentity();
  rt::FindCgroup("/proc/self", "", &p.cgroup);
  rt::TextBuilder directory(p.directory, sizeof(p.directory));
  int result = ChooseDirectory(p.options.directory, &directory);
  if (result == 0) {
    const Found found =
        TidyDirectory(directory.c_str(), {name.text(), p.options.keep_files, identity.pid, identity.parent_pid,
                                          identity.start_ticks, identity.pid_namespace, p.options.keep_always});
    if (found.parent_is_recorded && !p.options.follow_exec) return false;
    result = OpenRecording(directory.c_str(), identity, format::Origin::kStart);
  }
  if (result != 0) {
    ComplainOfFailure(p, p.options.directory, result);
    return false;
  }
  WatchForForks();
  SwitchOn();
  if (WantsLine(p)) {
    rt::TextBuffer<480> line;
    rt::Complain(line.Add("recording to ").Add(p.recording.path()).text());
  }
  return true;
}

bool InForkedChild() {
  const Process& p = g_process;
  if (p.alive != nullptr) return p.alive->load(std::memory_order_relaxed) == 0;
  return rt::ProcessId() != p.pid;
}

void BecomeChild() {
  Process& p = g_process;
  if (p.alive != nullptr) {
    uint32_t wiped = 0;
    if (!p.alive->compare_exchange_strong(wiped, 1, std::memory_order_acquire)) return;
  }
  p.mode.store(Mode::kStarting, std::memory_order_relaxed);
  p.pid = rt::ProcessId();
  p.recording.ForgetInChild();
  p.stacks.ForgetInChild();
  p.live.ForgetInChild();
  p.sites.ForgetInChild();
  g_filter.Clear();
  unwind::ResetAfterFork();
  for (rt::Lock* lock : {&p.module_lock, &p.rate_lock, &p.attach_lock, &p.timeline_lock}) lock->Reset();
  p.snapshot_running.store(false, std::memory_order_relaxed);
  p.brink = false;
  const Identity identity = ReadIdentity();
  if (!p.options.follow_fork || OpenRecording(p.directory, identity, format::Origin::kFork) != 0) {
    p.mode.store(Mode::kOff, std::memory_order_release);
    return;
  }
  SwitchOn();
}

void Finish() {
  Process& p = g_process;
  if (p.mode.load(std::memory_order_acquire) != Mode::kOn || InForkedChild() || rt::ProcessId() != p.pid) return;
  format::Header& h = p.recording.header();
  if (!p.options.keep_always && h.snapshots_taken == 0 && !HeldMuch()) {
    p.recording.Remove();
  } else {
    RecordPoint();
  }
  Store(h.end_ns, rt::NowNanoseconds(rt::Clock::kRealtime));
  Store(h.state, static_cast<uint32_t>(format::State::kExited), std::memory_order_release);
}

}  // namespace memtrace::core
