#include "tools/report/read_inputs.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "tools/common/progress.h"
#include "tools/common/utf8.h"
#include "tools/evidence/read.h"
#include "tools/evidence/unpack.h"
#include "tools/reader/decode.h"
#include "tools/reader/inputs.h"

namespace memtrace::tools {
namespace {

namespace fs = std::filesystem;

// As deep as `memtrace collect` and a copied tree of cgroups go.
constexpr int kDeepestDirectory = 3;
// Somebody may name a directory of anything.
constexpr size_t kMostFiles = 4096;
constexpr uintmax_t kLargestFile = uintmax_t{1} << 30;

bool IsRecordingName(const fs::path& path) { return path.extension() == ".rec" || path.extension() == ".snap"; }

// Executables and the like, which a collected directory holds beside its evidence.
bool LooksBinary(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 512> head{};
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  const auto end = head.begin() + file.gcount();
  if (IsPackedText({head.data(), static_cast<size_t>(file.gcount())})) return false;
  return std::find(head.begin(), end, '\0') != end;
}

class InputReader {
 public:
  Inputs Read(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
      std::error_code error;
      if (path != "-" && fs::is_directory(path, error)) {
        ReadDirectory(path);
      } else {
        ReadFile(path);
      }
    }
    if (!evidence_->files.empty()) inputs_.evidence = std::move(evidence_);
    return std::move(inputs_);
  }

 private:
  void Fail(const Error& error) {
    Complain(error.Text());
    ++inputs_.failures;
  }

  void ReadFile(const std::string& path) {
    std::vector<std::byte> begin;  // of standard input, which cannot be read twice
    const Result<RecordingFile> file = RecordingFile::Read(path, &begin);
    if (file.ok()) {
      Result<Profile> profile = Decode(file.value());
      if (profile.ok()) {
        inputs_.profiles.push_back(std::move(profile).value());
      } else {
        Fail(profile.error());
      }
      return;
    }
    if (file.error().code != ErrorCode::kNotRecording) return Fail(file.error());
    const ProgressStage progress("reading evidence");
    const std::string_view held(reinterpret_cast<const char*>(begin.data()), path == "-" ? begin.size() : 0);
    const Result<bool> known = ReadEvidence(path, evidence_.get(), held);
    if (!known.ok()) return Fail(known.error());
    if (known.value()) return;
    evidence_->files.pop_back();
    const std::string name = path == "-" ? "standard input" : path;
    Fail({ErrorCode::kNotRecording, name + " is neither a recording nor a log or other evidence that is known",
          begin.empty() ? "it is empty" : ""});
  }

  void ReadDirectory(const std::string& path) {
    const Result<std::vector<std::string>> recordings = ExpandPath(path);
    if (recordings.ok()) {
      for (const std::string& name : recordings.value()) ReadFile(name);
    }
    const bool has_evidence = ReadEvidenceBelow(path, 0);
    if (!recordings.ok() && !has_evidence) {
      Fail({ErrorCode::kUnreadable,
            recordings.error().message + ", and no evidence; `memtrace doctor PROGRAM` says whether it can be recorded",
            recordings.error().context});
    }
  }

  bool ReadEvidenceBelow(const std::string& path, int depth) {
    const bool is_cgroup = ReadCgroupDirectory(path, evidence_.get());
    bool found = is_cgroup;
    std::vector<std::string> files;
    std::vector<std::string> directories;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(path, error)) {
      std::error_code ignored;  // of an entry that vanished or may not be looked at
      if (entry.is_symlink(ignored)) continue;
      if (entry.is_directory(ignored)) directories.push_back(entry.path().string());
      // The other files of a cgroup are no evidence, and some block or have effects.
      if (!is_cgroup && entry.is_regular_file(ignored) && !IsRecordingName(entry.path()))
        files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    std::sort(directories.begin(), directories.end());
    for (const std::string& file : files) {
      std::error_code ignored;
      if (++files_seen_ > kMostFiles || fs::file_size(file, ignored) > kLargestFile || LooksBinary(file)) continue;
      const Result<bool> known = ReadEvidence(file, evidence_.get());
      if (!known.ok()) continue;
      if (known.value()) {
        found = true;
      } else {
        evidence_->files.pop_back();
      }
    }
    if (depth >= kDeepestDirectory) return found;
    for (const std::string& directory : directories) found = ReadEvidenceBelow(directory, depth + 1) || found;
    return found;
  }

  Inputs inputs_;
  size_t files_seen_ = 0;  // in directories
  std::unique_ptr<Evidence> evidence_ = std::make_unique<Evidence>();
};

}  // namespace

Inputs ReadInputs(const std::vector<std::string>& paths) { return InputReader().Read(paths); }

void Complain(const std::string& text) { std::cerr << "memtrace-report: " << Printable(text) << '\n'; }

}  // namespace memtrace::tools
