// The bytes of a recording, read once into memory. Not mapped: the file may be truncated or
// replaced while we look, which would be a SIGBUS, and a live recording changes under our eyes.
#ifndef MEMTRACE_TOOLS_READER_RECORDING_FILE_H_
#define MEMTRACE_TOOLS_READER_RECORDING_FILE_H_

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tools/common/result.h"

namespace memtrace::tools {

class RecordingFile {
 public:
  // `path` "-" is standard input. Fails where nothing can be read, where the content does not
  // begin as a recording does (kNotRecording; then `*begin`, if given, is what was read), and beyond the largest size
  // that the format allows.
  static Result<RecordingFile> Read(const std::string& path, std::vector<std::byte>* begin = nullptr);
  RecordingFile(std::string name, std::vector<std::byte> bytes) : name_(std::move(name)), bytes_(std::move(bytes)) {}

  const std::string& name() const { return name_; }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::string name_;
  std::vector<std::byte> bytes_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_READER_RECORDING_FILE_H_
