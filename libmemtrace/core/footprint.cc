#include "libmemtrace/core/footprint.h"

#include "libmemtrace/core/directory.h"
#include "libmemtrace/core/process.h"
#include "libmemtrace/core/sampler.h"
#include "libmemtrace/core/thread_buffers.h"
#include "libmemtrace/unwind/rules.h"

namespace memtrace::core {
namespace {

// Fields of /proc/self/status that are given in kilobytes. Returns whether all were there.
template <int kCount>
bool ReadStatus(const rt::Text (&names)[kCount], uint64_t (&bytes)[kCount]) {
  char buffer[2048];
  rt::Text rest = rt::ReadFile("/proc/self/status", buffer, sizeof(buffer));
  int found = 0;
  while (!rest.empty()) {
    rt::Text line = rt::NextPart(&rest, '\n');
    const rt::Text name = rt::NextWord(&line);
    for (int i = 0; i < kCount; ++i) {
      if (!(name == names[i]) || !rt::ParseUint(rt::NextWord(&line), &bytes[i])) continue;
      bytes[i] *= 1024;
      ++found;
    }
  }
  return found == kCount;
}

// The private memory that the process has mapped, and all that it unmapped: it cannot have held more. kUnknown without
// /proc.
uint64_t MostMapped() {
  constexpr rt::Text kFields[] = {"VmPeak:", "VmSize:", "VmData:"};
  uint64_t bytes[3] = {};
  if (!ReadStatus(kFields, bytes)) return format::kUnknown;
  const uint64_t all = bytes[0] - bytes[1] + bytes[2];
  const uint64_t ours = OwnBytes();
  return all > ours ? all - ours : 0;
}

}  // namespace

uint64_t OwnBytes() {
  const Process& p = g_process;
  const uint64_t per_thread = sizeof(ThreadScratch) + unwind::RememberedStackBytes(p.options.depth) + rt::PageBytes();
  return sizeof(Process) + sizeof(Filter) + unwind::RuleCache::kBytes + p.stacks.private_bytes() +
         p.sites.private_bytes() + Load(p.recording.header().thread_count) * per_thread;
}

uint64_t ResidentAnonymousBytes() {
  constexpr rt::Text kFields[] = {"RssAnon:"};  // Linux 4.5
  uint64_t bytes[1] = {};
  return ReadStatus(kFields, bytes) ? bytes[0] : format::kUnknown;
}

bool HeldMuch() {
  const Process& p = g_process;
  const format::Header& h = p.recording.header();
  uint64_t most = h.peak_live_bytes;
  for (uint32_t i = 0; i < Load(h.thread_count, std::memory_order_acquire); ++i) {
    const int64_t pending = ThreadBufferAt(p.recording, i)->pending_live_bytes;
    if (pending > 0) most += static_cast<uint64_t>(pending);
  }
  const bool always_exact = h.rates[0].bytes == kExactRate && h.rates[1].bytes == 0;
  return most >= kWorthKeepingBytes && (always_exact || MostMapped() >= kWorthKeepingBytes);
}

}  // namespace memtrace::core
