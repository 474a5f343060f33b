#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <list>
#include <map>
#include <queue>
#include <unordered_map>
#include <utility>

#include "tests/ranking/components.h"
#include "tests/ranking/site.h"

namespace memtrace::ranking {

uint64_t Random::Next() {
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545F4914F6CDD1DULL;
}
double Random::Exponential(double mean) { return -mean * std::log1p(-Uniform()); }
uint64_t Random::Zipf(uint64_t keys) {
  return static_cast<uint64_t>(std::pow(static_cast<double>(keys), Uniform())) - 1;
}

namespace {

double Load(const Request& request) { return 1 + std::sin(request.progress() * 40); }

// Blocks with a time to die, in requests.
class Mortal {
 public:
  void Keep(void* block, uint64_t until) { deaths_.push({until, block}); }
  void Bury(uint64_t now) {
    while (!deaths_.empty() && deaths_.top().first <= now) {
      free(deaths_.top().second);
      deaths_.pop();
    }
  }

 private:
  using Death = std::pair<uint64_t, void*>;
  std::priority_queue<Death, std::vector<Death>, std::greater<>> deaths_;
};

// A component that is one function with a state.
template <typename State>
class Simple : public Component {
 public:
  using Step = void (*)(const Request&, State*);
  explicit Simple(Step step) : step_(step) {}
  void Serve(const Request& request) override { step_(request, &state_); }

 private:
  Step step_;
  State state_;
};
template <typename State>
std::unique_ptr<Component> Make(void (*step)(const Request&, State*)) {
  return std::make_unique<Simple<State>>(step);
}

// A cache of keys; what is dropped when it is full is its policy.
using Entries = std::list<std::pair<uint64_t, void*>>;
struct KeyedCache {
  Entries order;  // next to be dropped in front
  std::unordered_map<uint64_t, Entries::iterator> entries;

  bool Has(uint64_t key) const { return entries.contains(key); }
  void Touch(uint64_t key) { order.splice(order.end(), order, entries.at(key)); }
  void Add(uint64_t key, void* block) { entries[key] = order.insert(order.end(), {key, block}); }
  void Drop(Entries::iterator entry) {
    free(entry->second);
    entries.erase(entry->first);
    order.erase(entry);
  }
};

MEMTRACE_SITE(NewStartUpTable)
MEMTRACE_SITE(NewRequestBuffer)
MEMTRACE_SITE(NewLruEntry)
MEMTRACE_SITE(NewRandomEntry)
MEMTRACE_SITE(NewFifoEntry)
MEMTRACE_SITE(NewExpiringEntry)
MEMTRACE_SITE(NewLfuEntry)
MEMTRACE_SITE(NewSession)
MEMTRACE_SITE(NewPooledBlock)
MEMTRACE_SITE(NewQueuedJob)
MEMTRACE_SITE(NewRampedSession)
MEMTRACE_SITE(NewConfiguration)
MEMTRACE_SITE(NewMixedBuffer)
MEMTRACE_SITE(NewHistoryRecord)
MEMTRACE_SITE(NewBatchRow)
MEMTRACE_SITE(NewInternedString)
MEMTRACE_SITE(NewFillingEntry)

}  // namespace

std::unique_ptr<Component> StartUpTable() {
  return Make<std::vector<void*>>([](const Request&, std::vector<void*>* table) {
    while (table->size() < 3000) table->push_back(NewStartUpTable(4096));
  });
}

std::unique_ptr<Component> RequestBuffers() {
  return Make<Mortal>([](const Request& request, Mortal* buffers) {
    buffers->Bury(request.number);
    for (int i = 0; i < 4; ++i)
      buffers->Keep(NewRequestBuffer(1000 + request.random->Below(4000)),
                    request.number + 1 + request.random->Below(3));
  });
}

std::unique_ptr<Component> LruCache() {
  return Make<KeyedCache>([](const Request& request, KeyedCache* cache) {
    const uint64_t key = request.random->Zipf(60'000);
    if (cache->Has(key)) return cache->Touch(key);
    if (cache->order.size() == 4000) cache->Drop(cache->order.begin());
    cache->Add(key, NewLruEntry(2048));
  });
}

std::unique_ptr<Component> RandomCache() {
  return Make<std::vector<void*>>([](const Request& request, std::vector<void*>* cache) {
    if (!request.random->Chance(0.5)) return;
    if (cache->size() < 4096) return cache->push_back(NewRandomEntry(2048));
    void*& victim = (*cache)[request.random->Below(cache->size())];
    free(victim);
    victim = NewRandomEntry(2048);
  });
}

std::unique_ptr<Component> FifoCache() {
  return Make<KeyedCache>([](const Request& request, KeyedCache* cache) {
    const uint64_t key = request.random->Zipf(60'000);
    if (cache->Has(key)) return;
    if (cache->order.size() == 4000) cache->Drop(cache->order.begin());
    cache->Add(key, NewFifoEntry(2048));
  });
}

std::unique_ptr<Component> ExpiringCache() {
  return Make<Mortal>([](const Request& request, Mortal* cache) {
    cache->Bury(request.number);
    if (request.random->Chance(0.4)) cache->Keep(NewExpiringEntry(1500), request.number + request.total / 10);
  });
}

std::unique_ptr<Component> LfuCache() {
  struct Lfu {
    std::unordered_map<uint64_t, std::pair<uint64_t, void*>> entries;  // key -> uses, block
    std::map<std::pair<uint64_t, uint64_t>, uint64_t> by_use;          // (uses, when) -> key
    std::unordered_map<uint64_t, std::pair<uint64_t, uint64_t>> place;
  };
  return Make<Lfu>([](const Request& request, Lfu* cache) {
    const uint64_t key = request.random->Zipf(40'000);
    const auto place = [&](uint64_t uses) {
      cache->place[key] = {uses, request.number};
      cache->by_use[{uses, request.number}] = key;
    };
    if (const auto found = cache->entries.find(key); found != cache->entries.end()) {
      cache->by_use.erase(cache->place.at(key));
      return place(++found->second.first);
    }
    if (cache->entries.size() == 4000) {
      const uint64_t victim = cache->by_use.begin()->second;
      cache->by_use.erase(cache->by_use.begin());
      free(cache->entries.at(victim).second);
      cache->entries.erase(victim);
      cache->place.erase(victim);
    }
    cache->entries[key] = {1, NewLfuEntry(2048)};
    place(1);
  });
}

std::unique_ptr<Component> Sessions() {
  return Make<Mortal>([](const Request& request, Mortal* sessions) {
    sessions->Bury(request.number);
    const double mean = static_cast<double>(request.total) / 25;
    sessions->Keep(NewSession(1000), request.number + static_cast<uint64_t>(request.random->Exponential(mean)) + 1);
  });
}

std::unique_ptr<Component> BurstPool() {
  return Make<Mortal>([](const Request& request, Mortal* pool) {
    pool->Bury(request.number);
    if (request.number % (request.total / 15) != request.total / 40) return;
    for (int i = 0; i < 600; ++i) pool->Keep(NewPooledBlock(8192), request.number + request.total / 70);
  });
}

std::unique_ptr<Component> LoadQueue() {
  return Make<std::deque<void*>>([](const Request& request, std::deque<void*>* queue) {
    queue->push_back(NewQueuedJob(1500));
    while (queue->size() > 500 + static_cast<size_t>(2500 * Load(request))) {
      free(queue->front());
      queue->pop_front();
    }
  });
}

std::unique_ptr<Component> RampedSessions() {
  return Make<Mortal>([](const Request& request, Mortal* sessions) {
    sessions->Bury(request.number);
    const int arrivals = request.progress() < 0.5 ? 1 : 2;
    const double mean = static_cast<double>(request.total) / 60;
    for (int i = 0; i < arrivals; ++i) {
      sessions->Keep(NewRampedSession(1500),
                     request.number + static_cast<uint64_t>(request.random->Exponential(mean)) + 1);
    }
  });
}

std::unique_ptr<Component> ReloadedConfiguration() {
  return Make<std::vector<void*>>([](const Request& request, std::vector<void*>* current) {
    if (request.number % (request.total / 9) != 7) return;
    std::vector<void*> fresh;
    for (int i = 0; i < 1500; ++i) fresh.push_back(NewConfiguration(2000 + request.random->Below(2000)));
    for (void* block : *current) free(block);
    *current = std::move(fresh);
  });
}

std::unique_ptr<Component> MixedBuffers() {
  return Make<Mortal>([](const Request& request, Mortal* buffers) {
    buffers->Bury(request.number);
    const uint64_t size = uint64_t{16} << request.random->Below(10);
    const uint64_t life = request.random->Chance(0.05) ? request.total / 30 : 20;
    buffers->Keep(NewMixedBuffer(size), request.number + 1 + request.random->Below(life));
  });
}

std::unique_ptr<Component> HistoryRing() {
  return Make<std::vector<void*>>([](const Request& request, std::vector<void*>* ring) {
    if (ring->size() < 5000) return ring->push_back(NewHistoryRecord(1200));
    void*& oldest = (*ring)[request.number % 5000];
    free(oldest);
    oldest = NewHistoryRecord(1200);
  });
}

std::unique_ptr<Component> Batches() {
  return Make<std::vector<void*>>([](const Request& request, std::vector<void*>* rows) {
    rows->push_back(NewBatchRow(700));
    if (request.number % (request.total / 37) != 0) return;
    for (void* row : *rows) free(row);
    rows->clear();
  });
}

std::unique_ptr<Component> InternedStrings() {
  return Make<std::unordered_map<uint64_t, void*>>(
      [](const Request& request, std::unordered_map<uint64_t, void*>* words) {
        void*& word = (*words)[request.random->Zipf(800)];
        if (word == nullptr) word = NewInternedString(600);
      });
}

std::unique_ptr<Component> FillingCache() {
  return Make<std::unordered_map<uint64_t, void*>>(
      [](const Request& request, std::unordered_map<uint64_t, void*>* cache) {
        void*& entry = (*cache)[request.random->Zipf(60'000)];
        if (entry == nullptr) entry = NewFillingEntry(1200);
      });
}

}  // namespace memtrace::ranking
