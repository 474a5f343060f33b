// Programs with a known truth. `workloads --list` prints a line for each: its name, what it is, and the functions whose
// memory grows without bound (those that may be called "still filling" have a ~ before them), the largest first.
// `workloads NAME [SEED [MOMENT [MICROSECONDS]]]` runs one, or its first part
// (0 to 1), computes that long at each request, sends itself SIGUSR2 for a snapshot, and ends without freeing anything.
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include "tests/ranking/components.h"

namespace memtrace::ranking {
namespace {

using Maker = std::unique_ptr<Component> (*)();

struct Workload {
  const char* name;
  const char* what;
  std::vector<Maker> makers;
  const char* truth = "";
  uint64_t requests = 60'000;
};

// What every service has; a leak has to stand out of it.
const std::vector<Maker> kService = {StartUpTable, RequestBuffers, RandomCache, Sessions, BurstPool, LoadQueue};

std::vector<Maker> With(std::vector<Maker> more) {
  more.insert(more.begin(), kService.begin(), kService.end());
  return more;
}

const std::vector<Workload>& Workloads() {
  static const std::vector<Workload> kWorkloads = {
      {"slow-leak", "a small leak in a service", With({SlowLeak}), "LoseSlowly"},
      {"one-in-a-hundred", "a site that loses every hundredth of its blocks", With({OneInAHundredLeak}), "NewMessage"},
      {"late-leak", "a leak that begins half way", With({[] { return LateLeak(0.5); }}), "LoseLate"},
      {"very-late-leak", "a leak in the last fifth", With({[] { return LateLeak(0.8); }}), "LoseLate"},
      {"leak-in-bursts", "hundreds of blocks at a time, then none for long", With({LeakInBursts}), "LoseInBurst"},
      {"rare-large-leak", "a large block now and then", With({RareLargeLeak}), "LoseRarely"},
      {"two-leaks", "two leaks, one faster", With({SlowLeak, SecondLeak}), "LoseSecond LoseSlowly"},
      {"unbounded-map", "a std::map that only grows", With({UnboundedMap}), "Subscribe"},
      {"unbounded-vector", "a std::vector that only grows", With({UnboundedVector}), "AppendEvent"},
      {"forgotten-sessions", "a tenth of the sessions is never closed", With({ForgottenSessions}),
       "NewForgottenSession"},
      {"duplicated-strings", "strdup without free", With({DuplicatedStrings}), "CopyName"},
      {"many-paths", "one leaking function called by 128 paths", With({LeakByManyPaths}), "LoseByManyPaths"},
      {"short-threads", "threads that come, lose something and go", With({LeakInThreads}), "LoseInThread"},
      {"leak-with-load", "a leak as fast as a swinging load", With({LeakWithLoad}), "LoseWithLoad"},
      {"leak-beside-caches",
       "a leak among four full caches",
       {StartUpTable, RequestBuffers, LruCache, FifoCache, RandomCache, LfuCache, SlowLeak},
       "LoseSlowly"},
      {"leak-beside-ring",
       "a leak beside histories, batches and reloads",
       {StartUpTable, RequestBuffers, HistoryRing, Batches, ReloadedConfiguration, SlowLeak},
       "LoseSlowly"},
      {"leak-beside-filling",
       "a leak beside a cache that still fills",
       {StartUpTable, RequestBuffers, FillingCache, SecondLeak},
       "LoseSecond ~NewFillingEntry"},
      {"bare-leak", "a program that does little else", {RequestBuffers, SlowLeak}, "LoseSlowly"},
      {"young-leak", "a leak in a young program", {RequestBuffers, SecondLeak}, "LoseSecond", 3'000},
      {"shared-cycle", "std::shared_ptr in a circle", With({SharedCycles}), "LinkPeers"},
      {"registry", "a std::unordered_map of strings that only grows", With({GrowingRegistry}), "RegisterKey"},
      {"unread-queue", "a std::deque that nobody reads", With({UnreadQueue}), "PushUnread"},
      {"endless-log", "a std::string that only grows", With({EndlessLog}), "AppendLine"},
      {"grown-by-steps", "one block grown by realloc, a little each time", With({TableGrownBySteps}), "GrowBySteps"},
      {"thread-local", "vectors of the threads of a pool that only grow", With({ThreadLocalGrowth}),
       "RememberInThread"},
      {"thread-pool", "tasks that lose something", With({LeakInPool, VisitTable}), "LoseInPool"},
      {"cleanup-list", "a list of callbacks for the end", With({CleanupList}), "RegisterCleanup"},
      {"arena-on-error", "arenas of requests, not freed after an error", With({ArenaLeakOnError}), "NewArenaChunk"},
      {"lost-objects", "objects of many small parts", With({LostObjects}), "OpenAccount"},
      {"recursion", "a parser that loses leaves at any depth", With({LeakInRecursion}), "ParseExpression"},
      {"own-wrapper", "a leak through the program's own malloc wrapper", With({LeakByOwnWrapper}), "NewReceipt"},
      {"beside-peaks",
       "a leak beside batches with large peaks",
       {RequestBuffers, PeakBatches, LogRing, SlowLeak},
       "LoseSlowly"},
      {"beside-reload",
       "a leak beside a state that is built anew",
       {RequestBuffers, DoubleBufferedReload, SecondLeak},
       "LoseSecond ~NewReloadedRow"},
      {"beside-leases",
       "a leak beside leases as long as two fifths of the run",
       {RequestBuffers, LongLeases, ConnectionBuffers, SlowLeak},
       "LoseSlowly"},

      {"healthy-service", "the service without a leak", kService},
      {"buffers-only", "request buffers, nothing kept", {RequestBuffers}},
      {"start-up-only", "tables at the start, then buffers", {StartUpTable, RequestBuffers}},
      {"lru-cache", "a full cache that drops what was not used for longest", {RequestBuffers, LruCache}},
      {"fifo-cache", "a full cache that drops the oldest", {RequestBuffers, FifoCache}},
      {"random-cache", "a full cache that drops any", {RequestBuffers, RandomCache}},
      {"lfu-cache", "a full cache that keeps the popular for ever", {RequestBuffers, LfuCache}},
      {"expiring-cache", "entries with a fixed time to live", {RequestBuffers, ExpiringCache}},
      {"filling-cache",
       "a cache that is not full yet",
       {StartUpTable, RequestBuffers, FillingCache},
       "~NewFillingEntry"},
      {"filling-set",
       "a std::unordered_set of words, fewer and fewer of them new",
       {RequestBuffers, FillingSet},
       "~InternWord"},
      {"sessions", "sessions of random length", {RequestBuffers, Sessions}},
      {"ramp", "the load doubles half way", {RequestBuffers, RampedSessions}},
      {"swinging-queue", "a queue that follows the load", {RequestBuffers, LoadQueue}},
      {"burst-pool", "a pool in bursts", {RequestBuffers, BurstPool}},
      {"reloads", "a configuration that is replaced as a whole", {RequestBuffers, ReloadedConfiguration}},
      {"fragmented", "buffers of all sizes, a few kept for long", {StartUpTable, MixedBuffers}},
      {"history-ring", "the last 5000 records", {RequestBuffers, HistoryRing}},
      {"batches", "rows that are built up and freed together", {RequestBuffers, Batches}},
      {"interned-strings", "a vocabulary that is soon complete", {RequestBuffers, InternedStrings}},
      {"visit-table", "a std::unordered_map with as many erased as added", {RequestBuffers, VisitTable}},
      {"high-water", "a pool as large as the largest demand so far", {RequestBuffers, HighWaterPool}},
      {"double-buffer",
       "a state that is built beside the current one",
       {RequestBuffers, DoubleBufferedReload},
       "~NewReloadedRow"},
      {"log-ring", "a ring of large buffers", {RequestBuffers, LogRing}},
      {"peaks", "batches with large peaks", {RequestBuffers, PeakBatches}},
      {"warm-up", "what grows in the first quarter and stays", {RequestBuffers, WarmUp}},
      {"long-leases", "leases as long as two fifths of the run", {RequestBuffers, LongLeases}},
      {"connection-buffers", "vectors that keep their capacity", {RequestBuffers, ConnectionBuffers}},
      {"idle", "tables, a little work, then nothing", {StartUpTable, RequestBuffers}, "", 300},
      {"young", "a program that has hardly begun", {StartUpTable, Sessions}, "~NewStartUpTable", 50},
  };
  return kWorkloads;
}

// What a request computes beside allocating.
void Compute(uint64_t microseconds) {
  if (microseconds == 0) return;
  timespec begin{};
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
  do {
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  } while (static_cast<uint64_t>((now.tv_sec - begin.tv_sec) * 1'000'000 + (now.tv_nsec - begin.tv_nsec) / 1000) <
           microseconds);
}

// `moment`: which part of the requests comes before the snapshot.
void Run(const Workload& workload, uint64_t seed, double moment, uint64_t computing_us) {
  Random random(seed);
  Components components;
  for (const Maker make : workload.makers) components.push_back(make());
  const auto end = static_cast<uint64_t>(moment * static_cast<double>(workload.requests));
  for (uint64_t number = 0; number < end; ++number) {
    const Request request{number, workload.requests, &random};
    for (const auto& component : components) component->Serve(request);
    Compute(computing_us);
  }
  kill(getpid(), SIGUSR2);
  _exit(0);
}

int Main(std::span<char*> arguments) {
  if (arguments.size() == 2 && strcmp(arguments[1], "--list") == 0) {
    for (const Workload& workload : Workloads()) printf("%s\t%s\t%s\n", workload.name, workload.what, workload.truth);
    return 0;
  }
  for (const Workload& workload : Workloads()) {
    if (arguments.size() < 2 || strcmp(arguments[1], workload.name) != 0) continue;
    Run(workload, arguments.size() > 2 ? strtoull(arguments[2], nullptr, 10) : 1,
        arguments.size() > 3 ? strtod(arguments[3], nullptr) : 1,
        arguments.size() > 4 ? strtoull(arguments[4], nullptr, 10) : 0);
  }
  fprintf(stderr, "usage: workloads --list | NAME [SEED [MOMENT [MICROSECONDS]]]\n");
  return 2;
}

}  // namespace
}  // namespace memtrace::ranking

int main(int argc, char** argv) { return memtrace::ranking::Main({argv, static_cast<size_t>(argc)}); }
