#ifndef MEMTRACE_TOOLS_SYMBOLS_SOURCE_FRAME_H_
#define MEMTRACE_TOOLS_SYMBOLS_SOURCE_FRAME_H_

#include <string>

namespace memtrace::tools {

// One function at an address; several where functions are inlined.
struct SourceFrame {
  std::string function;  // demangled; empty if unknown
  std::string file;      // empty if unknown
  int line = 0;          // 0 if unknown
  bool inlined = false;  // its code lies inside of the next frame's function

  bool operator==(const SourceFrame&) const = default;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_SOURCE_FRAME_H_
