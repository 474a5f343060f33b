#include "tools/symbols/demangle.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

namespace memtrace::tools {
namespace {

struct Names {
  const char* mangled;
  const char* readable;
};

void ExpectEach(std::initializer_list<Names> table) {
  for (const Names& names : table) EXPECT_EQ(Demangle(names.mangled), names.readable);
}

TEST(DemangleTest, Cpp) {
  ExpectEach({{"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"},
              {"_ZN4shop5CacheC2Ev", "shop::Cache::Cache()"},
              {"_Znwm", "operator new(unsigned long)"},
              {"_Z3runv.cold", "run() [clone .cold]"},
              {"_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const"}});
}

TEST(DemangleTest, RustInBothManglings) {
  ExpectEach({{"_ZN3std2rt10lang_start17h0123456789abcdefE", "std::rt::lang_start"},
              {"_ZN52_$LT$shop..Slab$u20$as$u20$core..ops..drop..Drop$GT$4drop17h930b740aa94f1d3aE",
               "<shop::Slab as core::ops::drop::Drop>::drop"},
              {"_RNvCs4fqI2P2rA04_4shop6handle", "shop::handle"},
              {"_RNvMNtCs4fqI2P2rA04_4shop4poolNtB2_4Slab4grow", "<shop::pool::Slab>::grow"},
              {"_RNCNvCs4fqI2P2rA04_4shop4main0B3_", "shop::main::{closure#0}"}});
}

TEST(DemangleTest, OtherNamesStayAsTheyAre) {
  // Go writes its names readable.
  for (const char* name : {"f", "malloc", "", "_Zbroken", "_Rbroken", "main.main", "$s4main6handleyyF"}) {
    EXPECT_EQ(Demangle(name), name);
  }
}

TEST(DemangleTest, NamesWithoutEndDoNoHarm) {
  const std::string name = "_ZN" + std::string(1 << 20, '1');
  EXPECT_EQ(Demangle(name.c_str()), name);
  const std::string nested = "_Z1f" + std::string(60000, 'P') + "v";
  EXPECT_FALSE(Demangle(nested.c_str()).empty());
}

}  // namespace
}  // namespace memtrace::tools
