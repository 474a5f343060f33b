#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "injector/container_root.h"
#include "injector/launch.h"
#include "tools/memtrace/commands.h"
#include "tools/memtrace/library.h"

namespace memtrace::commands {
namespace {

namespace fs = std::filesystem;

// Appears under its name only when it is whole: containers of the pod may look at the same moment.
std::error_code Put(const fs::path& source, const fs::path& target) {
  const fs::path unfinished = target.string() + ".new";
  std::error_code error;
  fs::remove(unfinished, error);
  const injector::Descriptor file(open(source.c_str(), O_RDONLY | O_CLOEXEC));
  const int failure = file.ok() ? injector::CopyFile(file, unfinished, UINT64_MAX) : errno;
  error.assign(failure, std::generic_category());
  if (!error) fs::permissions(unfinished, fs::perms(0755), error);
  if (!error) fs::rename(unfinished, target, error);
  if (error) fs::remove(unfinished);
  return error;
}

int Install(const fs::path& directory) {
  const std::string library = UsableLibrary();
  if (library.empty()) return 1;
  std::error_code error;
  fs::create_directories(directory, error);
  std::vector<std::pair<fs::path, const char*>> files = {{library, "libmemtrace.so"}, {"/proc/self/exe", "memtrace"}};
  // What `memtrace attach` there takes for programs under musl.
  if (const std::string late = injector::LateLibrary(library); !late.empty())
    files.emplace_back(late, "libmemtrace-late.so");
  for (const auto& [source, name] : files) {
    if (!error) error = Put(source, directory / name);
    if (!error) continue;
    Say("cannot install " + (directory / name).string() + ": " + error.message() + "; name another directory");
    return 1;
  }
  printf("%s\n", (directory / "libmemtrace.so").c_str());
  return 0;
}

}  // namespace

void AddInstall(CLI::App* app, Action* action) {
  CLI::App* install = app->add_subcommand("install", "Copy the libraries and this program into a directory.");
  install->footer("What the init container of `memtrace inject kubernetes` does. Prints the path of the library.");
  auto directory = std::make_shared<std::string>();
  install->add_option("DIR", *directory, "directory, made if need be")->required();
  install->callback([directory, action] { *action = [directory] { return Install(*directory); }; });
}

}  // namespace memtrace::commands
