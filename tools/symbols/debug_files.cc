#include "tools/symbols/debug_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace memtrace::tools {
namespace {

constexpr char kSystemDebugDirectory[] = "/usr/lib/debug";

std::string Absolute(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.string();
}

std::string DirectoryOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Opened only if it has that build-id; an empty one fits any file.
std::optional<ElfFile> OpenIfFits(const std::string& path, const std::string& build_id) {
  std::optional<ElfFile> file = ElfFile::Open(path);
  if (file && !build_id.empty() && file->build_id() != build_id) file.reset();
  return file;
}

}  // namespace

DebugFiles::DebugFiles(const SymbolOptions& options) : debuginfod_(options.debuginfod) {
  if (!options.sysroot.empty()) sysroot_ = Absolute(options.sysroot);
  const auto add = [this](const std::string& directory) {
    if (std::find(directories_.begin(), directories_.end(), directory) == directories_.end()) {
      directories_.push_back(directory);
    }
  };
  for (const std::string& directory : options.collected) add(Absolute(directory));
  if (!options.debug_dir.empty()) add(Absolute(options.debug_dir));
  if (!sysroot_.empty()) add(sysroot_ + kSystemDebugDirectory);
  add(kSystemDebugDirectory);
}

std::optional<ElfFile> DebugFiles::ByBuildId(const std::string& build_id, const char* ending) const {
  if (build_id.size() < 4) return std::nullopt;
  for (const std::string& directory : directories_) {
    const std::string path =
        fmt::format("{}/.build-id/{}/{}{}", directory, build_id.substr(0, 2), build_id.substr(2), ending);
    if (std::optional<ElfFile> file = OpenIfFits(path, build_id)) return file;
  }
  return std::nullopt;
}

std::optional<ElfFile> DebugFiles::FindBinary(const std::string& path, const std::string& build_id,
                                              std::string* problem) {
  std::optional<ElfFile> file = ElfFile::Open(sysroot_ + path);
  if (file && (build_id.empty() || file->build_id() == build_id)) return file;
  *problem = file ? fmt::format(
                        "no names for {}: it has build-id {}, the recorded program had {}; give the right files "
                        "with --sysroot",
                        file->path(), file->build_id().empty() ? "none" : file->build_id(), build_id)
                  : fmt::format("no names for {}: {}", sysroot_ + path, std::strerror(errno));
  if (build_id.empty()) return std::nullopt;
  file = ByBuildId(build_id, "");
  if (!file) file = ByBuildId(build_id, ".debug");  // it also has the table of symbols
  if (!file) {
    if (const std::string fetched = debuginfod_.FindBinary(build_id); !fetched.empty()) {
      file = OpenIfFits(fetched, build_id);
    }
  }
  if (file) problem->clear();
  return file;
}

std::optional<ElfFile> DebugFiles::ByLink(const ElfFile& binary, const std::string& path,
                                          std::vector<std::string>* warnings) const {
  const DebugLink& link = binary.debug_link();
  if (link.name.empty() || link.name.find('/') != std::string::npos) return std::nullopt;
  // Both the place where it was found and the real one: /bin/x may be a link to /usr/bin/x.
  std::error_code error;
  const std::filesystem::path given = std::filesystem::path(binary.path()).lexically_normal();
  const std::filesystem::path real = std::filesystem::canonical(given, error);
  std::vector<std::string> places;
  std::vector<std::filesystem::path> binaries = {given};
  if (!error && real != given) binaries.push_back(real);
  for (const std::filesystem::path& file : binaries) {
    places.push_back(file.parent_path() / link.name);
    places.push_back(file.parent_path() / ".debug" / link.name);
  }
  for (const std::string& directory : directories_) {
    places.push_back(directory + DirectoryOf(path) + "/" + link.name);
    places.push_back(directory + "/" + link.name);
  }
  for (const std::string& place : places) {
    std::optional<ElfFile> file = ElfFile::Open(place);
    // A stripped copy of the program under its own name is no debug file of it.
    if (!file || !file->has_debug_info()) continue;
    const bool both_have_ids = !binary.build_id().empty() && !file->build_id().empty();
    if (both_have_ids ? file->build_id() == binary.build_id() : file->Crc() == link.crc) return file;
    warnings->push_back(fmt::format("{} does not belong to {}: another {}", place, binary.path(),
                                    both_have_ids ? "build-id" : "checksum"));
  }
  return std::nullopt;
}

std::optional<ElfFile> DebugFiles::FindDebugFile(const ElfFile& binary, const std::string& path,
                                                 std::vector<std::string>* warnings) {
  if (binary.has_debug_info()) return std::nullopt;
  std::optional<ElfFile> file = ByBuildId(binary.build_id(), ".debug");
  if (file && file->path() == binary.path()) return std::nullopt;  // in place of the binary
  if (!file) file = ByLink(binary, path, warnings);
  if (!file) {
    if (const std::string fetched = debuginfod_.FindDebugFile(binary.build_id()); !fetched.empty()) {
      file = OpenIfFits(fetched, binary.build_id());
    }
  }
  return file;
}

std::optional<ElfFile> DebugFiles::FindAlternate(const ElfFile& debug_file) {
  const auto& [name, build_id] = debug_file.alternate_link();
  if (std::optional<ElfFile> file = ByBuildId(build_id, ".debug")) return file;
  std::error_code error;
  std::vector<std::string> places;
  if (name.starts_with('/')) {
    // Written as seen in the target, mostly below /usr/lib/debug.
    places.push_back(sysroot_ + name);
    const std::string prefix = std::string(kSystemDebugDirectory) + "/";
    for (const std::string& directory : directories_) {
      if (name.starts_with(prefix)) places.push_back(directory + "/" + name.substr(prefix.size()));
    }
  } else {
    places.push_back(DirectoryOf(debug_file.path()) + "/" + name);
    places.push_back(DirectoryOf(std::filesystem::canonical(debug_file.path(), error).string()) + "/" + name);
  }
  for (const std::string& place : places) {
    if (std::optional<ElfFile> file = OpenIfFits(place, build_id)) return file;
  }
  if (const std::string fetched = debuginfod_.FindDebugFile(build_id); !fetched.empty()) {
    return OpenIfFits(fetched, build_id);
  }
  return std::nullopt;
}

}  // namespace memtrace::tools
