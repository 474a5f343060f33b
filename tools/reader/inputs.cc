#include "tools/reader/inputs.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <tuple>

namespace memtrace::tools {
namespace {

namespace fs = std::filesystem;

bool IsRecordingName(const fs::path& path) { return path.extension() == ".rec" || path.extension() == ".snap"; }

void CollectRecordings(const fs::path& directory, int levels, std::vector<std::string>* files, std::error_code* error) {
  for (const auto& entry : fs::directory_iterator(directory, *error)) {
    std::error_code ignored;  // of an entry that vanished or may not be looked at
    if (entry.is_directory(ignored)) {
      std::error_code unreadable;
      if (levels > 0) CollectRecordings(entry.path(), levels - 1, files, &unreadable);
    } else if (IsRecordingName(entry.path())) {
      files->push_back(entry.path().string());
    }
  }
}

// Snapshots come before the recording that they were taken from, and stand in time order.
auto AgeKey(const Profile& profile) {
  return std::tuple(!profile.is_snapshot(), profile.is_snapshot() ? profile.header.end_ns : profile.header.start_ns,
                    profile.header.snapshot_number);
}

}  // namespace

Result<std::vector<std::string>> ExpandPath(const std::string& path) {
  std::error_code error;
  if (path == "-" || !fs::is_directory(path, error)) return std::vector{path};
  std::vector<std::string> files;
  CollectRecordings(path, 1, &files, &error);
  if (files.empty()) {
    return Error{ErrorCode::kUnreadable, "no recording (*.rec) or snapshot (*.snap) in " + path,
                 error ? error.message() : ""};
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<ProcessStates> GroupByProcess(std::vector<Profile> profiles) {
  using Key = std::tuple<std::string, uint32_t, uint64_t, std::string>;
  std::map<Key, size_t> known;
  std::vector<ProcessStates> processes;
  for (Profile& profile : profiles) {
    const format::Header& header = profile.header;
    Key key(std::string(reinterpret_cast<const char*>(header.boot_id), sizeof(header.boot_id)), header.pid,
            header.process_start_ticks, profile.BlobOr(format::BlobKind::kExecutable, ""));
    const auto [found, added] = known.try_emplace(std::move(key), processes.size());
    if (added) processes.emplace_back();
    processes[found->second].push_back(std::move(profile));
  }
  for (ProcessStates& states : processes) {
    std::stable_sort(states.begin(), states.end(),
                     [](const Profile& a, const Profile& b) { return AgeKey(a) < AgeKey(b); });
  }
  return processes;
}

}  // namespace memtrace::tools
