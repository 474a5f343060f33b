#include "libmemtrace/core/summary.h"

#include <fcntl.h>

#include "libmemtrace/core/process.h"
#include "libmemtrace/core/thread_buffers.h"
#include "libmemtrace/format/weight.h"
#include "libmemtrace/rt/random.h"

namespace memtrace::core {
namespace {

using format::ChunkKind;
using rt::Text;
using Message = rt::TextBuffer<kMostSummaryBytes>;

constexpr int kSites = 5;
constexpr int kFrames = 8;

struct Site {
  uint32_t node;  // 0: empty
  uint64_t bytes;
  uint64_t count_q16;
};

// Live bytes by site. Sites that come when it is nearly full are left out: they hold little, or would have come before.
class Sums {
 public:
  static constexpr uint32_t kSlots = 64 * 1024;
  explicit Sums(Site* slots) : slots_(slots) {}

  void Add(const format::LiveBucket& bucket, const format::Header& h) {
    for (int i = 0; i < 3; ++i) {
      const uint64_t key = Load(bucket.keys[i], std::memory_order_acquire);
      if (key == 0) continue;
      const uint64_t rate = h.rates[format::KeyRate(key)].bytes;
      const format::Weight weight = format::WeightOf(format::KeySize(key, bucket.sizes[i]), rate);
      if (Site* site = Find(bucket.nodes[i])) {
        site->bytes += weight.bytes;
        site->count_q16 += weight.count_q16;
      }
    }
  }
  // The largest that is smaller than `than` in the order of bytes, then nodes.
  const Site* Next(const Site* than) const {
    const Site* best = nullptr;
    for (uint32_t i = 0; i < kSlots; ++i) {
      const Site& site = slots_[i];
      if (site.node == 0 || (than != nullptr && !Before(*than, site))) continue;
      if (best == nullptr || Before(site, *best)) best = &site;
    }
    return best;
  }

 private:
  static constexpr uint32_t kMostUsed = kSlots / 8 * 7;
  static bool Before(const Site& a, const Site& b) { return a.bytes != b.bytes ? a.bytes > b.bytes : a.node < b.node; }
  Site* Find(uint32_t node) {
    for (uint32_t at = static_cast<uint32_t>(rt::Mix(node));; ++at) {
      Site& site = slots_[at % kSlots];
      if (site.node == node) return &site;
      if (site.node != 0) continue;
      if (used_ == kMostUsed) return nullptr;
      ++used_;
      site.node = node;
      return &site;
    }
  }

  Site* slots_;
  uint32_t used_ = 0;
};

void AddFrame(const format::Node& node, Message* message) {
  const Recording& recording = g_process.recording;
  const uint64_t pc = format::NodePc(node);
  if (format::NodeModule(node) >= Load(recording.header().module_count, std::memory_order_acquire)) {
    message->Add("0x").AddUint(pc, 16);
    return;
  }
  const auto& module = *recording.At<format::Module, ChunkKind::kModule>(format::NodeModule(node));
  Text name = Text(module.path, module.path_bytes);
  const size_t slash = rt::FindLast(name, '/');
  if (slash != rt::kNotFound) name = name.From(slash + 1);
  message->AddShown(name).Add("+0x").AddUint(pc - module.bias, 16);
}

void AddStack(uint32_t node, Message* message) {
  const Recording& recording = g_process.recording;
  if (node == format::kUnknownSite) message->Add("   (stack not known)\n");
  for (int i = 0; i < kFrames && node != 0 && node < Load(recording.header().node_count); ++i) {
    const auto& frame = *recording.At<format::Node, ChunkKind::kNode>(node);
    message->Add("   ");
    AddFrame(frame, message);
    message->Add('\n');
    node = frame.parent;
  }
}

void AddSites(uint64_t live_bytes, Message* message) {
  void* memory = rt::MapAnonymous(Sums::kSlots * sizeof(Site));
  if (memory == nullptr) return;
  const Recording& recording = g_process.recording;
  Sums sums(static_cast<Site*>(memory));
  for (const ChunkKind kind : {ChunkKind::kLive, ChunkKind::kOverflow}) {
    for (uint32_t chunk = 0; chunk < recording.ChunkCount(kind); ++chunk) {
      const auto* buckets = reinterpret_cast<const format::LiveBucket*>(recording.Chunk(kind, chunk));
      for (uint32_t i = 0; i < format::kBucketsPerChunk; ++i) sums.Add(buckets[i], recording.header());
    }
  }
  const Site* site = sums.Next(nullptr);
  for (int rank = 1; rank <= kSites && site != nullptr; ++rank, site = sums.Next(site)) {
    message->AddUint(static_cast<uint64_t>(rank))
        .Add(". ")
        .AddSize(site->bytes)
        .Add(" in ")
        .AddUint(site->count_q16 >> format::kCountShift)
        .Add(" blocks");
    if (live_bytes / 100 > 0) message->Add(", ").AddUint(site->bytes / (live_bytes / 100)).Add(" %");
    message->Add(", from\n");
    AddStack(site->node, message);
  }
  rt::Unmap(memory, Sums::kSlots * sizeof(Site));
}

}  // namespace

void WriteSummary(const char* path, Text snapshot_path, format::Trigger trigger, uint32_t percent) {
  const Process& p = g_process;
  Message message;
  message.Add("memtrace: ").AddShown(p.executable).Add(" (pid ").AddUint(static_cast<uint64_t>(p.pid)).Add(") at ");
  message.AddStamp(rt::NowNanoseconds(rt::Clock::kRealtime) / 1'000'000'000);
  if (trigger == format::Trigger::kThreshold) message.Add(", ").AddUint(percent).Add(" % of the memory limit");
  const LiveSums live = SumLive(p.recording);
  message.Add("\nlive ").AddSize(live.bytes).Add(" in ").AddUint(live.count_q16 >> format::kCountShift).Add(" blocks");
  rt::MemoryUse use;
  if (p.cgroup.version != 0 && rt::ReadMemoryUse(p.cgroup, false, &use)) {
    message.Add("; cgroup ").AddSize(use.usage_bytes);
    if (use.limit_bytes != format::kUnknown) message.Add(" of ").AddSize(use.limit_bytes);
  }
  message.Add("\nsnapshot ").AddShown(snapshot_path).Add("\nlargest by live bytes:\n");
  AddSites(live.bytes, &message);
  // Not a pipe that nobody reads.
  const int fd = rt::Open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (fd < 0) return;
  rt::WriteAll(fd, message.text().data, message.text().size);
  rt::Close(fd);
}

}  // namespace memtrace::core
