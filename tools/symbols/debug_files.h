// Where the binary of a module and its debug information are.
#ifndef MEMTRACE_TOOLS_SYMBOLS_DEBUG_FILES_H_
#define MEMTRACE_TOOLS_SYMBOLS_DEBUG_FILES_H_

#include <optional>
#include <string>
#include <vector>

#include "tools/symbols/debuginfod.h"
#include "tools/symbols/elf_file.h"
#include "tools/symbols/symbol_options.h"

namespace memtrace::tools {

// Looks under the sysroot, in the debug directories, and last on the servers of debuginfod if there are any. A file
// with another build-id than the recorded one is never taken.
class DebugFiles {
 public:
  explicit DebugFiles(const SymbolOptions& options);

  // The binary that was mapped from `path`, or, where that is gone, a file with its symbols. Without one `problem` says
  // why, in a sentence for the user.
  std::optional<ElfFile> FindBinary(const std::string& path, const std::string& build_id, std::string* problem);
  // The file with the debug information of `binary`, by build-id, then by .gnu_debuglink; nothing if the binary
  // has it itself. `path` as recorded. A file that would be the one but does not fit goes to `warnings`.
  std::optional<ElfFile> FindDebugFile(const ElfFile& binary, const std::string& path,
                                       std::vector<std::string>* warnings);
  // What the alternate link of `debug_file` names.
  std::optional<ElfFile> FindAlternate(const ElfFile& debug_file);
  // Problems with servers.
  const std::vector<std::string>& warnings() const { return debuginfod_.warnings(); }

 private:
  // In DIR/.build-id/xx/, where `ending` is ".debug" or, for a binary, "".
  std::optional<ElfFile> ByBuildId(const std::string& build_id, const char* ending) const;
  std::optional<ElfFile> ByLink(const ElfFile& binary, const std::string& path,
                                std::vector<std::string>* warnings) const;

  std::string sysroot_;
  std::vector<std::string> directories_;  // absolute
  Debuginfod debuginfod_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_DEBUG_FILES_H_
