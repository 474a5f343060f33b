#include "libmemtrace/core/lost_blocks.h"

#include <asm/errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>

#include <new>

#include "libmemtrace/core/copy_search.h"
#include "libmemtrace/core/footprint.h"
#include "libmemtrace/core/process.h"
#include "libmemtrace/rt/own_stack.h"

namespace memtrace::core {
namespace {

using format::LookState;
using rt::Address;
using rt::Syscall;

struct Result {
  LookState look;
  int error = 0;  // negative error number
  uint64_t pause_ns = 0;
  uint64_t ns = 0;
};

// What g_process.copy_progress says; else how long the program stood still, from it to the copy.
constexpr uint64_t kStopped = 0;
constexpr uint64_t kTold = ~uint64_t{0};  // from the copy: it has nothing left to do but to end

// One search, from the decision to the copy's end. Lies on the stack of the calling thread, and in its copy.
struct Search {
  const char* path;
  uintptr_t sp;
  int caller;
  int tasks = -1;
  uint64_t blocks = 0;    // room for them
  uint64_t headroom = 0;  // that the copy leaves
  SearchArea* area = nullptr;
  CopySearch* work = nullptr;
  bool gathered = false;
  uint32_t threads = 0;
  int stop_error = -ENOSYS;
  long copy = 0;

  uint64_t area_bytes() const { return SearchArea::BytesFor(blocks); }
};

void MarkLost(uint8_t* file, uint64_t bytes, const BlockGraph& graph) {
  const auto& h = *reinterpret_cast<const format::Header*>(file);
  const auto* directory = reinterpret_cast<const uint32_t*>(file + h.directory_offset);
  for (uint32_t chunk = 0; chunk < h.chunk_count; ++chunk) {
    const format::ChunkKind kind = format::EntryKind(directory[chunk]);
    const uint64_t at = h.front_bytes + uint64_t{chunk} * format::kChunkBytes;
    if (kind != format::ChunkKind::kLive && kind != format::ChunkKind::kOverflow) continue;
    if (at + format::kChunkBytes > bytes) return;
    auto* buckets = reinterpret_cast<format::LiveBucket*>(file + at);
    for (uint32_t i = 0; i < format::kBucketsPerChunk; ++i) {
      uint32_t lost = 0;
      for (int slot = 0; slot < kBucketSlots; ++slot) {
        if (graph.IsLost(buckets[i], slot)) lost |= 1u << (format::kBucketLostShift + slot);
      }
      if (lost != 0) buckets[i].meta |= lost;
    }
  }
}

// Into the snapshot, which others may be reading: the marks count only with the word that says so.
void Tell(const char* path, const Result& result, const BlockGraph* graph) {
  const int fd = rt::Open(path, O_RDWR | O_NOFOLLOW);
  if (fd < 0) return;
  rt::FileIdentity file;
  if (graph != nullptr && rt::Identify(fd, &file)) {
    void* data = rt::Map(nullptr, file.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    if (data == nullptr) return rt::Close(fd);
    MarkLost(static_cast<uint8_t*>(data), file.size, *graph);
  }
  const struct { uint64_t pause_ns, ns; } times = {result.pause_ns, result.ns};
  const uint32_t words[2] = {static_cast<uint32_t>(result.look), static_cast<uint32_t>(-result.error)};
  Syscall(__NR_pwrite64, fd, Address(&times), sizeof(times), offsetof(format::Header, look_pause_ns));
  Syscall(__NR_pwrite64, fd, Address(words), sizeof(words), offsetof(format::Header, look));
  rt::Close(fd);
}

// --- In the copy ---

// Nobody waits for it, it keeps nothing open, and it goes first when memory runs out.
void BecomeHarmless() {
  constexpr int kSetName = 15;
  constexpr long kCpuTime = 0;
  constexpr uint64_t kMostCpuSeconds[2] = {60, 60};
  Syscall(__NR_prctl, kSetName, Address("memtrace-look"));
  Syscall(__NR_setpriority, 0, 0, 5);
  Syscall(__NR_prlimit64, 0, kCpuTime, Address(kMostCpuSeconds), 0);
  constexpr int kMostDescriptors = 4096;
  if (rt::IsError(Syscall(__NR_close_range, 0, ~0u, 0))) {  // Linux 5.9
    for (int fd = 0; fd < kMostDescriptors; ++fd) rt::Close(fd);
  }
  const int fd = rt::Open("/proc/self/oom_score_adj", O_WRONLY);
  if (fd >= 0) rt::WriteAll(fd, "1000", 4);
  if (fd >= 0) rt::Close(fd);
}

void RunInCopy(void* context) {
  Search* search = static_cast<Search*>(context);
  const uint64_t begin_ns = rt::NowNanoseconds(rt::Clock::kMonotonic);
  BecomeHarmless();
  Result result{search->work->Run(search->headroom)};
  std::atomic<uint64_t>* progress = g_process.copy_progress;
  rt::WaitFor([progress] { return progress->load(std::memory_order_relaxed) != kStopped; });
  result.pause_ns = progress->load(std::memory_order_relaxed);
  result.ns = rt::NowNanoseconds(rt::Clock::kMonotonic) - begin_ns;
  progress->store(kTold, std::memory_order_relaxed);  // before: who reads the result may ask for the next one at once
  Tell(search->path, result, result.look == LookState::kDone ? &search->work->graph() : nullptr);
}

// --- In the process that stops the threads ---

// It shares our memory and, until it ends, runs on the stack of the calling thread, which the kernel holds.
void StopAndCopy(Search* search) {
  search->stop_error = StopThreads(search->tasks, search->caller, search->area->threads, &search->threads);
  search->gathered = search->stop_error == 0 && search->work->Gather(search->threads, search->caller, search->sp);
  if (search->gathered) {
    search->copy = Syscall(__NR_clone, CLONE_PARENT, 0, 0, 0, 0);
    if (search->copy == 0) {
      rt::CallOnStack(search->area->stack + sizeof(search->area->stack), &RunInCopy, search);
      Syscall(__NR_exit_group, 0);
    }
  }
  ResumeThreads(search->area->threads, search->threads);
}

[[gnu::noinline]] long StartStopper(Search* search) {
  const long stopper = Syscall(__NR_clone, CLONE_VM | CLONE_VFORK, 0, 0, 0, 0);
  if (stopper == 0) {
    StopAndCopy(search);
    Syscall(__NR_exit, 0);
  }
  return stopper;
}

// --- In the program ---

// Where a process may only be traced by whom it names (Yama), names anybody for as long as this lives. A name that the
// program gave before is lost.
class TracingAllowed {
 public:
  TracingAllowed() {
    char buffer[8];
    const rt::Text scope = rt::ReadFile("/proc/sys/kernel/yama/ptrace_scope", buffer, sizeof(buffer));
    named_ = !scope.empty() && scope[0] == '1';
    if (named_) Syscall(__NR_prctl, kSetPtracer, -1);
  }
  ~TracingAllowed() {
    if (named_) Syscall(__NR_prctl, kSetPtracer, 0);
  }
  TracingAllowed(const TracingAllowed&) = delete;
  TracingAllowed& operator=(const TracingAllowed&) = delete;

 private:
  static constexpr long kSetPtracer = 0x59616d61;
  bool named_;
};

Result MakeCopy(Search* search) {
  const TracingAllowed allowed;
  const uint64_t begin_ns = rt::NowNanoseconds(rt::Clock::kMonotonic);
  const long stopper = StartStopper(search);
  const uint64_t pause_ns = rt::NowNanoseconds(rt::Clock::kMonotonic) - begin_ns;
  if (stopper < 0) return {LookState::kNoCopy, static_cast<int>(stopper)};
  rt::WaitForChild(stopper, true, nullptr);
  if (search->copy > 0) g_process.copy.store(static_cast<int>(search->copy), std::memory_order_relaxed);
  if (search->stop_error != 0) return {LookState::kNotStopped, search->stop_error, pause_ns};
  if (search->copy < 0) return {LookState::kNoCopy, static_cast<int>(search->copy), pause_ns};
  if (!search->gathered) return {LookState::kUnreadable, -E2BIG, pause_ns};
  uint64_t stopped = kStopped;
  g_process.copy_progress->compare_exchange_strong(stopped, pause_ns, std::memory_order_relaxed);
  return {LookState::kUnderWay};
}

// The copy needs page tables, and a page for each that the program writes to meanwhile.
uint64_t MemoryNeeded(uint64_t blocks) {
  const uint64_t resident = ResidentAnonymousBytes();
  return (uint64_t{2} << 20) + BlockGraph::BytesFor(blocks) + (resident != format::kUnknown ? resident / 32 : 0);
}

// A copy that has told its result may still be giving back its memory.
bool AwaitCopy() {
  if (ReapCopy()) return true;
  const std::atomic<uint64_t>* progress = g_process.copy_progress;
  return progress != nullptr && progress->load(std::memory_order_relaxed) == kTold && rt::WaitFor(&ReapCopy);
}

// It stays for the next search. The copy is there before its process id is known, so that this cannot lie in our
// memory.
bool ResetProgress() {
  std::atomic<uint64_t>*& progress = g_process.copy_progress;
  if (progress != nullptr) {
    progress->store(kStopped, std::memory_order_relaxed);
    return true;
  }
  void* shared = rt::Map(nullptr, rt::PageBytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  if (shared != nullptr) progress = new (shared) std::atomic<uint64_t>(kStopped);
  return shared != nullptr;
}

Result Begin(Search* search) {
  if (!AwaitCopy()) return {LookState::kBusy};
  const format::Header& h = g_process.recording.header();
  const uint64_t buckets = uint64_t{Load(h.live_buckets)} + Load(h.overflow_buckets);
  search->blocks = buckets * kBucketSlots + buckets / 4 + 4096;  // it may grow until all threads stand still
  const uint64_t live = g_process.live_entries.load(std::memory_order_relaxed);
  const uint64_t needed = MemoryNeeded(live < search->blocks ? live : search->blocks);
  search->headroom = needed / 2;
  if (MemoryHeadroom() < needed) return {LookState::kNoMemory};
  constexpr int kUnreserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* area = rt::Map(nullptr, search->area_bytes(), PROT_READ | PROT_WRITE, kUnreserved);
  search->tasks = rt::Open("/proc/self/task", O_RDONLY | O_DIRECTORY);
  Result result{LookState::kNoMemory, -ENOMEM};
  if (search->tasks < 0) result = {LookState::kUnreadable, search->tasks};
  if (area != nullptr && ResetProgress() && search->tasks >= 0) {
    search->area = static_cast<SearchArea*>(area);
    // Blocks are entered while all threads stand still: few faults.
    Syscall(__NR_madvise, Address(area), static_cast<long>(search->area_bytes()), MADV_HUGEPAGE);
    search->work = new (search->area->work) CopySearch(search->area, search->area_bytes(), search->blocks);
    result = MakeCopy(search);
  }
  if (search->tasks >= 0) rt::Close(search->tasks);
  if (area != nullptr) rt::Unmap(area, search->area_bytes());
  return result;
}

}  // namespace

bool ReapCopy() {
  int copy = g_process.copy.load(std::memory_order_relaxed);
  if (copy != 0 && rt::WaitForChild(copy, false, nullptr) == 0) return false;
  g_process.copy.compare_exchange_strong(copy, 0, std::memory_order_relaxed);  // there may be another one by now
  return true;
}

void LookForLostBlocks(const char* path, uintptr_t sp) {
  __builtin_unwind_init();  // what registers hold of the program's is on this stack from here on
  Search search{path, sp, rt::ThreadId()};
  const Result result = Begin(&search);
  if (result.look != LookState::kUnderWay) Tell(path, result, nullptr);
}

}  // namespace memtrace::core
