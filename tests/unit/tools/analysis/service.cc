#include "tests/unit/tools/analysis/service.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <queue>
#include <random>

#include "libmemtrace/format/weight.h"

namespace memtrace::tools {
namespace {

constexpr double kMiB = 1048576;
constexpr uint64_t kWork = uint64_t{1} << 30;

struct Block {
  size_t site;
  uint64_t size;
  uint64_t birth;
  double weight;  // 0: not recorded
};

class Service {
 public:
  Service(uint64_t rate_bytes, uint64_t seed) : rate_bytes_(rate_bytes), random_(seed) {
    run_.histories.resize(kSites);
    run_.leaked_bytes.resize(kSites);
  }

  Block New(size_t site, uint64_t size) {
    const double p = format::Probability(size, rate_bytes_);
    const bool recorded = Uniform() < p;
    Block block{site, size, run_.work_bytes, recorded ? static_cast<double>(size) / p : 0};
    run_.histories[site].allocated[format::WorkColumn(run_.work_bytes) - format::kOctaves] += block.weight;
    run_.histories[site].bytes_per_sample = static_cast<double>(size) / p;
    run_.work_bytes += size;
    run_.live_bytes += size;
    return block;
  }
  void Free(const Block& block) {
    run_.histories[block.site].died[format::AgeColumn(run_.work_bytes - block.birth)] += block.weight;
    run_.live_bytes -= block.size;
  }
  void FreeAfter(const Block& block, double work) {
    deaths_.push({run_.work_bytes + static_cast<uint64_t>(work), block});
  }
  void FreeDue() {
    while (!deaths_.empty() && deaths_.top().when <= run_.work_bytes) {
      Free(deaths_.top().block);
      deaths_.pop();
    }
  }
  // At the end: what lives is censored at its age.
  void Keep(const Block& block) {
    run_.histories[block.site].alive[format::AgeColumn(run_.work_bytes - block.birth)] += block.weight;
  }
  void KeepPending() {
    for (; !deaths_.empty(); deaths_.pop()) Keep(deaths_.top().block);
  }
  double Uniform() { return std::uniform_real_distribution<>(0, 1)(random_); }
  double Exponential(double mean) { return std::exponential_distribution<>(1 / mean)(random_); }
  uint64_t now() const { return run_.work_bytes; }
  ServiceRun& run() { return run_; }

 private:
  struct Death {
    uint64_t when;
    Block block;
    bool operator<(const Death& other) const { return when > other.when; }
  };
  uint64_t rate_bytes_;
  std::mt19937_64 random_;
  ServiceRun run_;
  std::priority_queue<Death> deaths_;
};

// What stays: blocks that nobody frees, and containers.
struct Heap {
  std::vector<Block> kept;
  std::vector<Block> cache;
  std::deque<Block> queue;
  uint64_t next_burst = 20 << 20;
};

void Request(Service* service, Heap* heap) {
  for (int i = 0; i < 4; ++i) service->FreeAfter(service->New(3, 3000), 16000);
  if (service->Uniform() < 0.5) {  // cache with random replacement: 8 MiB
    heap->cache.push_back(service->New(1, 2048));
    if (heap->cache.size() > 4096) {
      std::swap(heap->cache[static_cast<size_t>(service->Uniform() * 4096)], heap->cache.back());
      service->Free(heap->cache.back());
      heap->cache.pop_back();
    }
  }
  // Drawn one after the other: compilers evaluate arguments in different orders.
  const Block session = service->New(2, 1000);
  service->FreeAfter(session, service->Exponential(40 * kMiB));
  if (service->now() >= heap->next_burst) {  // pool in bursts
    heap->next_burst += 70 << 20;
    for (int i = 0; i < 600; ++i) service->FreeAfter(service->New(4, 8192), 15 * kMiB);
  }
  // A cache of 8 MiB that misses less and less.
  if (service->Uniform() < 0.7 * std::exp(-static_cast<double>(service->now()) / (80 * kMiB))) {
    heap->kept.push_back(service->New(5, 1200));
  }
  const double load = 1 + std::sin(static_cast<double>(service->now()) / (60 * kMiB));  // the queue follows it
  heap->queue.push_back(service->New(6, 1500));
  while (heap->queue.size() > 500 + static_cast<size_t>(2500 * load)) {
    service->Free(heap->queue.front());
    heap->queue.pop_front();
  }
}

void MaybeLeak(Service* service, Leak leak, uint64_t request, Heap* heap) {
  const auto lose = [&](size_t site, uint64_t size) {
    heap->kept.push_back(service->New(site, size));
    service->run().leaked_bytes[site] += static_cast<double>(size);
  };
  switch (leak) {
    case Leak::kNone:
      break;
    case Leak::kSmallAndSlow:
      if (request % 2 == 0) lose(7, 400);
      break;
    case Leak::kFromHalfWay:
      if (service->now() > kWork / 2) lose(7, 700);
      break;
    case Leak::kRareAndLarge:
      if (request % 250 == 0) lose(7, 131072);
      break;
    case Leak::kTwoAtOnce:
      if (request % 2 == 0) lose(7, 900);
      if (request % 3 == 0) lose(8, 700);
      break;
  }
}

}  // namespace

ServiceRun RunService(Leak leak, uint64_t rate_bytes, uint64_t seed) {
  Service service(rate_bytes, seed);
  Heap heap;
  for (int i = 0; i < 3000; ++i) heap.kept.push_back(service.New(0, 4096));  // start-up table, 12 MiB
  for (uint64_t request = 0; service.now() < kWork; ++request) {
    Request(&service, &heap);
    MaybeLeak(&service, leak, request, &heap);
    service.FreeDue();
  }
  for (const Block& block : heap.kept) service.Keep(block);
  for (const Block& block : heap.cache) service.Keep(block);
  for (const Block& block : heap.queue) service.Keep(block);
  service.KeepPending();
  return std::move(service.run());
}

}  // namespace memtrace::tools
