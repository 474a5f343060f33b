// Which libmemtrace.so a subcommand works with.
#ifndef MEMTRACE_TOOLS_MEMTRACE_LIBRARY_H_
#define MEMTRACE_TOOLS_MEMTRACE_LIBRARY_H_

#include <CLI/CLI.hpp>
#include <string>

namespace memtrace::commands {

void AddLibraryOption(CLI::App* app, std::string* library);

// Absolute path of the library that was given, else of the one that belongs to this program. Empty, and has said why,
// if it is not there or cannot be read.
std::string UsableLibrary(const std::string& given = "");

}  // namespace memtrace::commands

#endif  // MEMTRACE_TOOLS_MEMTRACE_LIBRARY_H_
