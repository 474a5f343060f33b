// Starts a program with the library preloaded, in place of the calling process.
#ifndef MEMTRACE_INJECTOR_LAUNCH_H_
#define MEMTRACE_INJECTOR_LAUNCH_H_

#include <string>
#include <utility>
#include <vector>

namespace memtrace::injector {

// Exit statuses of launchers, as env(1) and docker run have them.
inline constexpr int kStatusOwnFailure = 125;
inline constexpr int kStatusCannotExecute = 126;
inline constexpr int kStatusNotFound = 127;

using Settings = std::vector<std::pair<std::string, std::string>>;  // variable, value

// `library` before what is preloaded already: an allocator in there must come after it, else it hides
// the program's calls. Entries are separated by colons or spaces; `library` must contain neither.
std::string PreloadList(const std::string& library, const std::string& existing);

// The entries of `environment` (ended by a nullptr) with the settings put in place of older values.
std::vector<std::string> WithSettings(const char* const* environment, const Settings& settings);

struct FoundProgram {
  std::string path;  // empty if there is none
  int error = 0;     // ENOENT or EACCES if there is none
};
// Searches as execvp does; a name with a slash is taken as it is. `search_path` is the value of PATH,
// nullptr if that is unset.
FoundProgram FindProgram(const std::string& name, const char* search_path);

// Executes; a file without "#!" that is no program goes to /bin/sh, as with execvp. Returns only on
// failure, with an error number.
int Execute(const std::string& program, const std::vector<std::string>& arguments,
            const std::vector<std::string>& environment);

// libmemtrace.so next to this program: as installed, as in a build tree, or in the same directory.
// Empty if there is none.
std::string FindLibrary();

// The file beside `library` for a loader that gives no static thread-local storage to libraries that come late
// (musl's): libmemtrace-late.so. Empty if it is not there or cannot be read.
std::string LateLibrary(const std::string& library);

}  // namespace memtrace::injector

#endif  // MEMTRACE_INJECTOR_LAUNCH_H_
