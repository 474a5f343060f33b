// The binaries that a recording or snapshot names.
#ifndef MEMTRACE_INJECTOR_COLLECT_NAMED_MODULES_H_
#define MEMTRACE_INJECTOR_COLLECT_NAMED_MODULES_H_

#include <map>
#include <string>

namespace memtrace::injector {

// Adds path by build-id (hexadecimal). A file that lies about itself adds nothing, or nonsense: whoever opens a path
// must not trust it, and compares the build-id. False: no recording of this version.
bool AddNamedModules(const std::string& recording, std::map<std::string, std::string>* path_by_build_id);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_COLLECT_NAMED_MODULES_H_
