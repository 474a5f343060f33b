// The parts that services are made of, for workloads with a known truth. A component allocates from functions of its
// own, by whose names a report finds it, and does one request's share of its work at a time.
#ifndef MEMTRACE_TESTS_RANKING_COMPONENTS_H_
#define MEMTRACE_TESTS_RANKING_COMPONENTS_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace memtrace::ranking {

// xorshift64*, the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL | 1) {}
  uint64_t Next();
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  bool Chance(double probability) { return Uniform() < probability; }
  double Exponential(double mean);
  uint64_t Zipf(uint64_t keys);  // few keys often, most of them rarely

 private:
  uint64_t state_;
};

struct Request {
  uint64_t number;
  uint64_t total;  // how many there will be
  Random* random;
  double progress() const { return static_cast<double>(number) / static_cast<double>(total); }
};

class Component {
 public:
  virtual ~Component() = default;
  virtual void Serve(const Request& request) = 0;
};
using Components = std::vector<std::unique_ptr<Component>>;

// --- Innocent ---
std::unique_ptr<Component> StartUpTable();
std::unique_ptr<Component> RequestBuffers();
std::unique_ptr<Component> LruCache();
std::unique_ptr<Component> RandomCache();
std::unique_ptr<Component> FifoCache();
std::unique_ptr<Component> ExpiringCache();  // entries live for a fixed time
std::unique_ptr<Component> LfuCache();       // popular entries for ever, others a moment
std::unique_ptr<Component> Sessions();       // lives of random length
std::unique_ptr<Component> BurstPool();
std::unique_ptr<Component> LoadQueue();       // follows a load that swings
std::unique_ptr<Component> RampedSessions();  // the load doubles half way
std::unique_ptr<Component> ReloadedConfiguration();
std::unique_ptr<Component> MixedBuffers();  // of all sizes, a few kept for long: fragments the heap
std::unique_ptr<Component> HistoryRing();
std::unique_ptr<Component> Batches();               // built up and freed as a whole
std::unique_ptr<Component> InternedStrings();       // of a vocabulary that is soon complete
std::unique_ptr<Component> FillingCache();          // not full at the end: it misses less and less
std::unique_ptr<Component> VisitTable();            // a std::unordered_map with as many erased as added
std::unique_ptr<Component> HighWaterPool();         // as large as the largest demand so far
std::unique_ptr<Component> DoubleBufferedReload();  // the next state grows beside the current one
std::unique_ptr<Component> LogRing();
std::unique_ptr<Component> PeakBatches();        // large, and gone at once
std::unique_ptr<Component> WarmUp();             // grows in the first quarter, for good
std::unique_ptr<Component> LongLeases();         // two fifths of the run
std::unique_ptr<Component> ConnectionBuffers();  // vectors that keep their capacity
std::unique_ptr<Component> FillingSet();         // a std::unordered_set of words, of which fewer and fewer are new

// --- Leaking ---
std::unique_ptr<Component> SlowLeak();
std::unique_ptr<Component> OneInAHundredLeak();  // the other 99 of the same site are freed
std::unique_ptr<Component> LateLeak(double begin);
std::unique_ptr<Component> RareLargeLeak();
std::unique_ptr<Component> LeakInBursts();
std::unique_ptr<Component> SecondLeak();
std::unique_ptr<Component> UnboundedMap();
std::unique_ptr<Component> UnboundedVector();  // doubles, so most of what it allocates is freed
std::unique_ptr<Component> ForgottenSessions();
std::unique_ptr<Component> DuplicatedStrings();
std::unique_ptr<Component> LeakByManyPaths();
std::unique_ptr<Component> LeakInThreads();
std::unique_ptr<Component> LeakWithLoad();       // as many as the swinging load has requests
std::unique_ptr<Component> SharedCycles();       // of std::shared_ptr
std::unique_ptr<Component> GrowingRegistry();    // a std::unordered_map of strings
std::unique_ptr<Component> UnreadQueue();        // a std::deque
std::unique_ptr<Component> EndlessLog();         // a std::string
std::unique_ptr<Component> TableGrownBySteps();  // one block, by realloc
std::unique_ptr<Component> ThreadLocalGrowth();
std::unique_ptr<Component> LeakInPool();
std::unique_ptr<Component> CleanupList();
std::unique_ptr<Component> ArenaLeakOnError();  // the arenas of other requests are freed
std::unique_ptr<Component> LostObjects();       // of many small parts
std::unique_ptr<Component> LeakInRecursion();   // of any depth
std::unique_ptr<Component> LeakByOwnWrapper();  // through which others allocate too

}  // namespace memtrace::ranking

#endif  // MEMTRACE_TESTS_RANKING_COMPONENTS_H_
