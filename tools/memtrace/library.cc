#include "tools/memtrace/library.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "injector/launch.h"
#include "tools/memtrace/commands.h"

namespace memtrace::commands {

void AddLibraryOption(CLI::App* app, std::string* library) {
  app->add_option("--library", *library, "another libmemtrace.so (default: what `memtrace lib` prints)")
      ->option_text("FILE");
}

std::string UsableLibrary(const std::string& given) {
  const std::string found = given.empty() ? injector::FindLibrary() : std::filesystem::absolute(given).string();
  if (found.empty()) {
    Say("there is no libmemtrace.so in ../lib/memtrace beside this program: install both, or name one with --library");
  } else if (access(found.c_str(), R_OK) != 0) {
    Say("cannot read " + found + ": " + strerror(errno));
  } else {
    return found;
  }
  return "";
}

}  // namespace memtrace::commands
