// What a post-mortem needs to know of a binary that may be anything: its build-id and the name of its debug file.
#ifndef MEMTRACE_INJECTOR_COLLECT_ELF_FILE_H_
#define MEMTRACE_INJECTOR_COLLECT_ELF_FILE_H_

#include <string>

namespace memtrace::injector {

struct ElfFacts {
  std::string build_id;    // hexadecimal; empty: none
  std::string debug_link;  // a file name without directory; empty: none
};

// Input is hostile: a few kilobytes are read at checked offsets.
ElfFacts ReadElfFacts(int fd);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_COLLECT_ELF_FILE_H_
