#include "injector/launch.h"

#include <paths.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string_view>

namespace memtrace::injector {
namespace {

// From the directory of the program.
constexpr const char* kLibraryPlaces[] = {
    "../lib/memtrace/libmemtrace.so",    // installed
    "../../libmemtrace/libmemtrace.so",  // build tree
    "libmemtrace.so",                    // both copied into a container
};

bool IsFile(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

// 0, or why the file cannot be executed.
int ExecutableError(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) return errno == ENOTDIR ? ENOENT : errno;
  return IsFile(path) && access(path.c_str(), X_OK) == 0 ? 0 : EACCES;
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

std::string PreloadList(const std::string& library, const std::string& existing) {
  std::string list = library;
  size_t begin = 0;
  while ((begin = existing.find_first_not_of(": ", begin)) != std::string::npos) {
    const size_t end = std::min(existing.find_first_of(": ", begin), existing.size());
    const std::string entry = existing.substr(begin, end - begin);
    if (entry != library) list += ":" + entry;
    begin = end;
  }
  return list;
}

std::vector<std::string> WithSettings(const char* const* environment, const Settings& settings) {
  std::vector<std::string> result;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry(*environment);
    const std::string_view name = entry.substr(0, entry.find('='));
    const auto replaces = [name](const auto& setting) { return setting.first == name; };
    if (std::none_of(settings.begin(), settings.end(), replaces)) result.emplace_back(entry);
  }
  for (const auto& [name, value] : settings) result.emplace_back(name).append("=").append(value);
  return result;
}

FoundProgram FindProgram(const std::string& name, const char* search_path) {
  if (name.empty()) return {"", ENOENT};
  if (name.find('/') != std::string::npos) {
    const int error = ExecutableError(name);
    return error == 0 ? FoundProgram{name, 0} : FoundProgram{"", error};
  }
  int first_error = ENOENT;
  std::string_view rest = search_path != nullptr ? search_path : _PATH_DEFPATH;
  for (bool more = true; more;) {
    const size_t end = rest.find(':');
    std::string path(end == 0 || rest.empty() ? "." : rest.substr(0, end));
    path += "/" + name;
    const int error = ExecutableError(path);
    if (error == 0) return {path, 0};
    if (error == EACCES && IsFile(path)) first_error = EACCES;
    more = end != std::string_view::npos;
    if (more) rest.remove_prefix(end + 1);
  }
  return {"", first_error};
}

int Execute(const std::string& program, const std::vector<std::string>& arguments,
            const std::vector<std::string>& environment) {
  const std::vector<char*> environment_pointers = Pointers(environment);
  execve(program.c_str(), Pointers(arguments).data(), environment_pointers.data());
  if (errno != ENOEXEC) return errno;
  std::vector<std::string> shell_arguments = {_PATH_BSHELL, program};
  shell_arguments.insert(shell_arguments.end(), arguments.begin() + 1, arguments.end());
  execve(_PATH_BSHELL, Pointers(shell_arguments).data(), environment_pointers.data());
  return ENOEXEC;
}

std::string FindLibrary() {
  std::error_code error;
  std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {  // no /proc
    const auto* name = reinterpret_cast<const char*>(static_cast<uintptr_t>(getauxval(AT_EXECFN)));
    if (name == nullptr) return "";
    self = std::filesystem::canonical(name, error);
  }
  for (const char* place : kLibraryPlaces) {
    const std::filesystem::path library = std::filesystem::canonical(self.parent_path() / place, error);
    if (!error) return library.string();
  }
  return "";
}

std::string LateLibrary(const std::string& library) {
  constexpr std::string_view kEnding = ".so";
  if (!library.ends_with(kEnding)) return "";
  const std::string late = library.substr(0, library.size() - kEnding.size()) + "-late.so";
  return access(late.c_str(), R_OK) == 0 ? late : "";
}

}  // namespace memtrace::injector
