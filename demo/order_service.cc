// A shop's order service, as the demo needs one: it takes 6,000 orders a second, holds tens of megabytes for good
// reasons, and has one leak. Its limit of 96 MiB kills it after about a quarter of a minute.
//
//   catalogue      40 MiB   loaded at the start, never changes: the biggest by far
//   price cache    12 MiB   full; each new entry replaces the least recently used one
//   sessions        4 MiB   come and go with the customers
//   connections     1 MiB   a pool of buffers that are used again
//   requests                a few at any time, gone after a millisecond
//   audit trail             of cancelled orders: appended to, and nobody ever takes anything out
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace shop {

// Marsaglia's xorshift.
class Random {
 public:
  uint32_t operator()() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    return state_ ^= state_ << 5;
  }

 private:
  uint32_t state_ = 2463534242;
};

std::string Text(size_t size, Random* random) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; i += 8) text[i] = static_cast<char>('a' + (*random)() % 26);
  return text;
}

class Catalogue {
 public:
  static constexpr uint32_t kArticles = 42'000;

  void Load(Random* random) {
    articles_.reserve(kArticles);
    for (uint32_t i = 0; i < kArticles; ++i) articles_.push_back(Text(900 + i % 200, random));
  }
  const std::string& Article(uint32_t number) const { return articles_[number % kArticles]; }

 private:
  std::vector<std::string> articles_;
};

// Prices of customers with a contract, the least recently used one leaves first.
class PriceCache {
 public:
  static constexpr size_t kEntries = 6'000;

  const std::string& Lookup(uint32_t key, Random* random) {
    if (const auto found = index_.find(key); found != index_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->second;
    }
    if (entries_.size() >= kEntries) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, Text(2'000, random));
    index_[key] = entries_.begin();
    return entries_.front().second;
  }

 private:
  std::list<std::pair<uint32_t, std::string>> entries_;
  std::unordered_map<uint32_t, std::list<std::pair<uint32_t, std::string>>::iterator> index_;
};

class Sessions {
 public:
  static constexpr uint32_t kCustomers = 8'000;

  void Touch(uint32_t customer, Random* random) {
    std::string& basket = open_[customer % kCustomers];
    if (basket.empty()) basket = Text(700, random);
    if ((*random)() % 20 == 0) open_.erase((*random)() % kCustomers);
  }

 private:
  std::unordered_map<uint32_t, std::string> open_;
};

class ConnectionPool {
 public:
  std::unique_ptr<std::vector<char>> Take() {
    if (idle_.empty()) return std::make_unique<std::vector<char>>(64 * 1024);
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    return connection;
  }
  void Return(std::unique_ptr<std::vector<char>> connection) { idle_.push_back(std::move(connection)); }

 private:
  std::vector<std::unique_ptr<std::vector<char>>> idle_;
};

class AuditTrail {
 public:
  // The leak: written for a nightly export that was switched off long ago.
  void RecordCancellation(const std::string& order, Random* random) {
    records_.push_back("cancelled: " + order + Text(600, random));
  }

 private:
  std::deque<std::string> records_;
};

class OrderService {
 public:
  void Start() {
    catalogue_.Load(&random_);
    std::puts("order-service: ready");
    std::fflush(stdout);
  }

  void HandleOrder() {
    const uint32_t number = random_();
    auto connection = pool_.Take();
    const std::string request = Text(3'000 + number % 5'000, &random_);
    const std::string& article = catalogue_.Article(number);
    sessions_.Touch(number >> 4, &random_);
    const std::string confirmation = article + prices_.Lookup(number % 9'000, &random_);
    (*connection)[number % connection->size()] = confirmation.back();
    if (number % 4 == 0) audit_.RecordCancellation(article.substr(0, 700), &random_);
    pool_.Return(std::move(connection));
  }

 private:
  Random random_;
  Catalogue catalogue_;
  PriceCache prices_;
  Sessions sessions_;
  ConnectionPool pool_;
  AuditTrail audit_;
};

}  // namespace shop

int main() {
  constexpr auto kTick = std::chrono::milliseconds(10);
  constexpr int kOrdersPerTick = 60;
  constexpr int kTicks = 6'000;  // a minute: far beyond the limit that the demo sets
  shop::OrderService service;
  service.Start();
  auto next = std::chrono::steady_clock::now();
  for (int tick = 0; tick < kTicks; ++tick) {
    for (int i = 0; i < kOrdersPerTick; ++i) service.HandleOrder();
    std::this_thread::sleep_until(next += kTick);
  }
}
