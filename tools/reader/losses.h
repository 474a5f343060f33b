// What could not be read. A report from a damaged file names it and ends with exit status 3.
#ifndef MEMTRACE_TOOLS_READER_LOSSES_H_
#define MEMTRACE_TOOLS_READER_LOSSES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/common/numbers.h"

namespace memtrace::tools {

struct Loss {
  std::string what;
  uint64_t amount;  // in the unit that `what` names
};

// One entry per kind of loss, in the order of discovery.
class Losses {
 public:
  void Add(std::string_view what, uint64_t amount = 1) {
    if (amount == 0) return;
    for (Loss& known : items_) {
      if (known.what != what) continue;
      known.amount = SaturatingAdd(known.amount, amount);
      return;
    }
    items_.push_back({std::string(what), amount});
  }
  bool empty() const { return items_.empty(); }
  const std::vector<Loss>& items() const { return items_; }

 private:
  std::vector<Loss> items_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_READER_LOSSES_H_
