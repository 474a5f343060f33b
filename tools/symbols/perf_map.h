// Names of functions that were compiled at run time, from the map files that perf made customary: node
// --perf-basic-prof, the JVM (jcmd Compiler.perfmap), CPython 3.12 (-X perf), .NET and others write them to
// /tmp/perf-PID.map.
#ifndef MEMTRACE_TOOLS_SYMBOLS_PERF_MAP_H_
#define MEMTRACE_TOOLS_SYMBOLS_PERF_MAP_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tools/reader/profile.h"
#include "tools/symbols/source_frame.h"

namespace memtrace::tools {

class PerfMap {
 public:
  // Lines "START SIZE NAME", both numbers hexadecimal. Of functions that lay at one address one after the other the
  // last one counts. Lines that are something else are passed over.
  explicit PerfMap(std::string_view text);
  // Of the process: what its snapshot carries; else FILE.perf-map beside the recording; else /tmp/perf-PID.map if it
  // was written while the process lived. Empty if there is none.
  static PerfMap Of(const Profile& profile, const std::string& temporary_directory = "/tmp");

  // nullptr if no function is known there. The file and line, where the name has them, are where the function begins.
  const SourceFrame* Find(uint64_t address) const;

 private:
  struct Function {
    uint64_t end;
    SourceFrame frame;
  };
  void Insert(uint64_t begin, uint64_t end, std::string_view name);

  std::map<uint64_t, Function> functions_;  // by begin, none overlaps another
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_PERF_MAP_H_
