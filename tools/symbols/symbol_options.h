#ifndef MEMTRACE_TOOLS_SYMBOLS_SYMBOL_OPTIONS_H_
#define MEMTRACE_TOOLS_SYMBOLS_SYMBOL_OPTIONS_H_

#include <string>
#include <vector>

#include "tools/symbols/helpers.h"

namespace memtrace::tools {

struct SymbolOptions {
  bool enabled = true;
  std::string sysroot;                       // put before every module path
  std::string debug_dir = "/usr/lib/debug";  // holds .build-id/ and split debug files; the system's comes after it
  std::vector<std::string> collected;  // directories with .build-id/, as `memtrace collect` makes them; looked at first
  bool debuginfod = false;             // ask the servers that DEBUGINFOD_URLS names
  std::string cache_dir;               // see SymbolCache; empty: none
  HelperTable helpers;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_SYMBOL_OPTIONS_H_
