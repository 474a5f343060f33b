#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <thread>

#include "tests/ranking/components.h"
#include "tests/ranking/site.h"

namespace memtrace::ranking {
namespace {

// What is lost is only reachable from here, so that no compiler takes it away.
void* volatile g_last;
void Lose(void* block) { g_last = block; }

template <typename Step>
class Leak : public Component {
 public:
  explicit Leak(Step step) : step_(std::move(step)) {}
  void Serve(const Request& request) override { step_(request); }

 private:
  Step step_;
};
template <typename Step>
std::unique_ptr<Component> Make(Step step) {
  return std::make_unique<Leak<Step>>(std::move(step));
}

MEMTRACE_SITE(LoseSlowly)
MEMTRACE_SITE(NewMessage)
MEMTRACE_SITE(LoseLate)
MEMTRACE_SITE(LoseRarely)
MEMTRACE_SITE(LoseInBurst)
MEMTRACE_SITE(LoseSecond)
MEMTRACE_SITE(NewForgottenSession)
MEMTRACE_SITE(LoseByManyPaths)
MEMTRACE_SITE(LoseInThread)
MEMTRACE_SITE(LoseWithLoad)

struct Subscriber {
  std::array<char, 300> name;
};

[[gnu::noinline]] void Subscribe(std::map<uint64_t, Subscriber>* subscribers, uint64_t id) {
  (*subscribers)[id].name[0] = 1;
}
[[gnu::noinline]] void AppendEvent(std::vector<std::array<char, 64>>* events) { events->emplace_back().fill(1); }
[[gnu::noinline]] char* CopyName(const char* name) { return strdup(name); }

// Call paths by the bits of `path`, as one handler per kind of request would make them.
template <int kWhich>
[[gnu::noinline]] void* Route(uint64_t path, int levels) {
  void* block = levels == 0 ? LoseByManyPaths(400)
                : path & 1  ? Route<1 - kWhich>(path >> 1, levels - 1)
                            : Route<kWhich>(path >> 1, levels - 1);
  asm volatile("" : "+r"(block)::"memory");
  return block;
}

}  // namespace

std::unique_ptr<Component> SlowLeak() {
  return Make([](const Request& request) {
    if (request.number % 2 == 0) Lose(LoseSlowly(400));
  });
}

std::unique_ptr<Component> OneInAHundredLeak() {
  return Make([](const Request& request) {
    for (int i = 0; i < 4; ++i) {
      void* message = NewMessage(2500);
      if (request.random->Chance(0.01))
        Lose(message);
      else
        free(message);
    }
  });
}

std::unique_ptr<Component> LateLeak(double begin) {
  return Make([begin](const Request& request) {
    if (request.progress() > begin) Lose(LoseLate(700));
  });
}

std::unique_ptr<Component> RareLargeLeak() {
  return Make([](const Request& request) {
    if (request.number % 250 == 0) Lose(LoseRarely(131072));
  });
}

std::unique_ptr<Component> SecondLeak() {
  return Make([](const Request& request) {
    if (request.number % 3 == 0) Lose(LoseSecond(1500));
  });
}

std::unique_ptr<Component> LeakInBursts() {
  return Make([next = uint64_t{2000}](const Request& request) mutable {
    if (request.number < next) return;
    next += 2500 + request.random->Below(4000);
    for (int i = 0; i < 500; ++i) Lose(LoseInBurst(400 + request.random->Below(400)));
  });
}

std::unique_ptr<Component> UnboundedMap() {
  return Make([subscribers = std::map<uint64_t, Subscriber>()](const Request& request) mutable {
    if (request.random->Chance(0.5)) Subscribe(&subscribers, request.number);
  });
}

std::unique_ptr<Component> UnboundedVector() {
  return Make([events = std::vector<std::array<char, 64>>()](const Request&) mutable {
    for (int i = 0; i < 4; ++i) AppendEvent(&events);
  });
}

std::unique_ptr<Component> ForgottenSessions() {
  struct Open {
    uint64_t until;
    void* session;
  };
  return Make([open = std::vector<Open>()](const Request& request) mutable {
    for (size_t i = 0; i < open.size() && i < 3; ++i) {  // closes a few that are due
      Open& entry = open[request.random->Below(open.size())];
      if (entry.until > request.number) continue;
      free(entry.session);
      entry = open.back();
      open.pop_back();
    }
    void* session = NewForgottenSession(1200);
    if (request.random->Chance(0.1))
      Lose(session);
    else
      open.push_back({request.number + request.random->Below(request.total / 30), session});
  });
}

std::unique_ptr<Component> DuplicatedStrings() {
  return Make([](const Request& request) {
    const std::string name = "customer number " + std::to_string(request.number) + std::string(150, '.');
    Lose(CopyName(name.c_str()));
  });
}

std::unique_ptr<Component> LeakByManyPaths() {
  return Make([](const Request& request) {
    if (request.number % 2 == 0) Lose(Route<0>(request.random->Next(), 7));
  });
}

std::unique_ptr<Component> LeakInThreads() {
  return Make([](const Request& request) {
    if (request.number % 200 != 0) return;
    std::thread([] {
      for (int i = 0; i < 40; ++i) Lose(LoseInThread(900));
    }).join();
  });
}

std::unique_ptr<Component> LeakWithLoad() {
  return Make([](const Request& request) {
    if (request.random->Uniform() < (1 + std::sin(request.progress() * 40)) / 4) Lose(LoseWithLoad(600));
  });
}

}  // namespace memtrace::ranking
