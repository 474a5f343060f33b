// Names of functions as their authors wrote them.
#ifndef MEMTRACE_TOOLS_SYMBOLS_DEMANGLE_H_
#define MEMTRACE_TOOLS_SYMBOLS_DEMANGLE_H_

#include <string>

namespace memtrace::tools {

// C++ (Itanium ABI) and Rust (legacy and v0, without the hash of the crate); any other name as it is. Swift's stay
// mangled: Debian has no library that reads them.
//   "_ZNSt6vectorIiSaIiEE9push_backERKi"   std::vector<int, std::allocator<int> >::push_back(int const&)
//   "_RNvCskwGfYPst2Cb_3foo3bar"           foo::bar
std::string Demangle(const char* name);

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_DEMANGLE_H_
