// Memory as C++ programs hold it: standard containers, pools, arenas, object graphs, threads; innocent and leaking.
#include <algorithm>
#include <array>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "tests/ranking/components.h"
#include "tests/ranking/site.h"

namespace memtrace::ranking {
namespace {

template <typename Step>
class Stepping : public Component {
 public:
  explicit Stepping(Step step) : step_(std::move(step)) {}
  void Serve(const Request& request) override { step_(request); }

 private:
  Step step_;
};
template <typename Step>
std::unique_ptr<Component> Make(Step step) {
  return std::make_unique<Stepping<Step>>(std::move(step));
}

// Threads that live as long as the program; Run hands one of them a task and waits.
class ThreadPool {
 public:
  ThreadPool() {
    for (size_t i = 0; i < kThreads; ++i) std::thread([this] { Work(); }).detach();
  }
  void Run(std::function<void()> task) {
    std::unique_lock lock(mutex_);
    tasks_.push(std::move(task));
    ++pending_;
    some_.notify_one();
    none_.wait(lock, [this] { return pending_ == 0; });
  }

 private:
  static constexpr size_t kThreads = 4;
  void Work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      some_.wait(lock, [this] { return !tasks_.empty(); });
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop();
      lock.unlock();
      task();
      lock.lock();
      if (--pending_ == 0) none_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable some_;
  std::condition_variable none_;
  std::queue<std::function<void()>> tasks_;
  size_t pending_ = 0;
};
ThreadPool& Threads() {
  static ThreadPool* const pool = new ThreadPool;
  return *pool;
}

MEMTRACE_SITE(NewArenaChunk)
MEMTRACE_SITE(LoseInPool)
MEMTRACE_SITE(NewPooledConnection)
MEMTRACE_SITE(NewReloadedRow)
MEMTRACE_SITE(NewLogBuffer)
MEMTRACE_SITE(NewReportRow)
MEMTRACE_SITE(NewWarmUpEntry)
MEMTRACE_SITE(NewLease)
MEMTRACE_SITE(ShopAllocate)  // the program's own wrapper: everything below comes through it

[[gnu::noinline]] void* NewBasket(size_t size) {
  void* block = ShopAllocate(size);
  asm volatile("" : "+r"(block)::"memory");
  return block;
}
[[gnu::noinline]] void* NewReceipt(size_t size) {
  void* block = ShopAllocate(size);
  asm volatile("" : "+r"(block)::"memory");
  return block;
}

struct Peer {
  std::shared_ptr<Peer> other;
  std::array<char, 300> state;
};
[[gnu::noinline]] void LinkPeers() {
  auto one = std::make_shared<Peer>();
  one->other = std::make_shared<Peer>();
  one->other->other = one;
}

using Registry = std::unordered_map<uint64_t, std::string>;
[[gnu::noinline]] void RegisterKey(Registry* registry, uint64_t key) { (*registry)[key].assign(180, 'x'); }
[[gnu::noinline]] void OpenVisit(Registry* visits, uint64_t key) { (*visits)[key].assign(700, 'x'); }
[[gnu::noinline]] void InternWord(std::unordered_set<std::string>* words, uint64_t number) {
  words->insert("a word long enough for a block of its own " + std::to_string(number));
}
[[gnu::noinline]] void PushUnread(std::deque<std::array<char, 250>>* queue) { queue->emplace_back().fill(1); }
[[gnu::noinline]] void AppendLine(std::string* log) { log->append(160, 'x'); }
[[gnu::noinline]] void GrowBySteps(char** table, size_t* size) {
  *size += 16384;
  *table = static_cast<char*>(realloc(*table, *size));
  memset(*table + *size - 16384, 1, 16384);
}
[[gnu::noinline]] void RememberInThread(uint64_t number) {
  static thread_local std::vector<std::string> seen;
  seen.emplace_back("request " + std::to_string(number) + std::string(200, '.'));
}
[[gnu::noinline]] void RegisterCleanup(std::list<std::function<void()>>* cleanups, uint64_t number) {
  cleanups->emplace_back([number, state = std::array<char, 260>()] { static_cast<void>(number + state.size()); });
}
[[gnu::noinline]] void FillBuffer(std::vector<char>* buffer, size_t size) { buffer->insert(buffer->end(), size, 'x'); }

// An object of many small parts, each from a place of its own: none of them stands out.
struct Account {
  Account()
      : name(new std::array<char, 40>()),
        street(new std::array<char, 56>()),
        history(new std::vector<int>(18)),
        rights(new std::map<int, int>{{1, 2}, {3, 4}}),
        token(strdup("a token that is longer than nothing at all")),
        picture(new std::array<char, 72>()),
        settings(new std::list<int>{1, 2}),
        notes(new std::string(60, 'n')),
        address(new std::array<char, 48>()),
        card(new std::array<char, 64>()) {}
  std::array<char, 40>* name;
  std::array<char, 56>* street;
  std::vector<int>* history;
  std::map<int, int>* rights;
  char* token;
  std::array<char, 72>* picture;
  std::list<int>* settings;
  std::string* notes;
  std::array<char, 48>* address;
  std::array<char, 64>* card;
};
[[gnu::noinline]] Account* OpenAccount() { return new Account; }

// A tree of an expression, as deep as chance has it; `kept` loses its leaves.
[[gnu::noinline]] void* ParseExpression(Random* random, int depth, bool kept) {
  if (depth > 0) {
    void* node = malloc(96);
    memset(node, 1, 96);
    void* leaf = ParseExpression(random, depth - 1, kept);
    free(node);
    return leaf;
  }
  void* leaf = malloc(450);
  memset(leaf, 1, 450);
  if (!kept) free(leaf);
  return leaf;
}

void* volatile g_last;
void Lose(void* block) { g_last = block; }

}  // namespace

// --- Leaking ---

std::unique_ptr<Component> SharedCycles() {
  return Make([](const Request& request) {
    if (request.number % 3 == 0) LinkPeers();
  });
}

std::unique_ptr<Component> FillingSet() {
  return Make([words = std::unordered_set<std::string>()](const Request& request) mutable {
    for (int i = 0; i < 4; ++i) InternWord(&words, request.random->Zipf(40'000));
  });
}

std::unique_ptr<Component> GrowingRegistry() {
  return Make([registry = Registry()](const Request& request) mutable {
    if (request.number % 2 == 0) RegisterKey(&registry, request.number);
  });
}

std::unique_ptr<Component> UnreadQueue() {
  return Make([queue = std::deque<std::array<char, 250>>()](const Request& request) mutable {
    if (request.number % 2 == 0) PushUnread(&queue);
  });
}

std::unique_ptr<Component> EndlessLog() {
  return Make([log = std::string()](const Request&) mutable { AppendLine(&log); });
}

std::unique_ptr<Component> TableGrownBySteps() {
  return Make([table = static_cast<char*>(nullptr), size = size_t{0}](const Request& request) mutable {
    if (request.number % 64 == 0) GrowBySteps(&table, &size);
  });
}

std::unique_ptr<Component> ThreadLocalGrowth() {
  return Make([](const Request& request) {
    if (request.number % 4 == 0) Threads().Run([number = request.number] { RememberInThread(number); });
  });
}

std::unique_ptr<Component> LeakInPool() {
  return Make([](const Request& request) {
    if (request.number % 4 == 0) Threads().Run([] { Lose(LoseInPool(700)); });
  });
}

std::unique_ptr<Component> CleanupList() {
  return Make([cleanups = std::list<std::function<void()>>()](const Request& request) mutable {
    if (request.number % 3 == 0) RegisterCleanup(&cleanups, request.number);
  });
}

std::unique_ptr<Component> ArenaLeakOnError() {
  return Make([](const Request& request) {
    std::vector<void*> arena;
    for (uint64_t i = 0; i < 1 + request.random->Below(4); ++i) arena.push_back(NewArenaChunk(4096));
    if (request.random->Chance(0.02)) return;
    for (void* chunk : arena) free(chunk);
  });
}

std::unique_ptr<Component> LostObjects() {
  return Make([](const Request& request) {
    if (request.number % 4 == 0) Lose(OpenAccount());
  });
}

std::unique_ptr<Component> LeakInRecursion() {
  return Make([](const Request& request) {
    const int depth = static_cast<int>(request.random->Below(24));
    Lose(ParseExpression(request.random, depth, request.number % 3 == 0));
  });
}

std::unique_ptr<Component> LeakByOwnWrapper() {
  return Make([baskets = std::deque<void*>()](const Request& request) mutable {
    baskets.push_back(NewBasket(900));
    if (baskets.size() > 3000) {
      free(baskets.front());
      baskets.pop_front();
    }
    if (request.number % 3 == 0) Lose(NewReceipt(500));
  });
}

// --- Innocent ---

std::unique_ptr<Component> VisitTable() {
  return Make([visits = Registry()](const Request& request) mutable {
    OpenVisit(&visits, request.number);
    if (request.number >= 2500) visits.erase(request.number - request.random->Below(2500));
    if (visits.size() > 5000) visits.erase(visits.begin());
  });
}

std::unique_ptr<Component> HighWaterPool() {
  return Make([pool = std::vector<void*>()](const Request& request) mutable {
    // As many at once as chance has it: the record is beaten less and less often.
    const auto busy = static_cast<size_t>(40 + request.random->Exponential(40));
    while (pool.size() < busy) pool.push_back(NewPooledConnection(24576));
  });
}

std::unique_ptr<Component> DoubleBufferedReload() {
  return Make([current = std::vector<void*>(), next = std::vector<void*>()](const Request& request) mutable {
    next.push_back(NewReloadedRow(900));
    if (next.size() < request.total / 7) return;
    for (void* row : current) free(row);
    current = std::exchange(next, {});
  });
}

std::unique_ptr<Component> LogRing() {
  return Make([ring = std::deque<void*>(), used = size_t{0}](const Request& request) mutable {
    used += 100 + request.random->Below(400);
    if (used < 65536 && !ring.empty()) return;
    used = 0;
    ring.push_back(NewLogBuffer(65536));
    if (ring.size() <= 48) return;
    free(ring.front());
    ring.pop_front();
  });
}

std::unique_ptr<Component> PeakBatches() {
  return Make([](const Request& request) {
    if (request.number % (request.total / 6) != request.total / 9) return;
    std::vector<void*> rows;
    for (int i = 0; i < 20'000; ++i) rows.push_back(NewReportRow(1500));
    for (void* row : rows) free(row);
  });
}

std::unique_ptr<Component> WarmUp() {
  return Make([](const Request& request) {
    if (request.progress() < 0.25) Lose(NewWarmUpEntry(900));
  });
}

std::unique_ptr<Component> LongLeases() {
  return Make([leases = std::deque<std::pair<uint64_t, void*>>()](const Request& request) mutable {
    while (!leases.empty() && leases.front().first <= request.number) {
      free(leases.front().second);
      leases.pop_front();
    }
    if (request.number % 2 == 0) leases.emplace_back(request.number + request.total * 2 / 5, NewLease(700));
  });
}

std::unique_ptr<Component> ConnectionBuffers() {
  return Make([buffers = std::vector<std::vector<char>>(300)](const Request& request) mutable {
    std::vector<char>& buffer = buffers[request.random->Below(buffers.size())];
    if (request.random->Chance(0.02)) std::vector<char>().swap(buffer);  // hung up
    buffer.clear();                                                      // keeps what it had room for
    FillBuffer(&buffer, 200 + static_cast<size_t>(request.random->Exponential(4000)));
  });
}

}  // namespace memtrace::ranking
