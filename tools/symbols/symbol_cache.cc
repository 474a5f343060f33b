#include "tools/symbols/symbol_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <unordered_map>

#include "tools/common/numbers.h"
#include "tools/common/text_file.h"
#include "tools/symbols/elf_file.h"

namespace memtrace::tools {

// In the byte order of the machine; the magic number tells another one.
struct SymbolCache::Header {
  uint64_t magic;
  uint32_t version;
  uint32_t crc;  // of all that follows the header
  uint64_t fingerprint;
  uint32_t entries;
  uint32_t frames;
  uint64_t text_bytes;
};

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMagic = 0x4c4f424d5953544d;  // "MTSYMBOL" where the lowest byte comes first
constexpr uint32_t kVersion = 1;                 // also of what names look like
constexpr char kEnding[] = ".symbols";
constexpr char kTemporary[] = ".tmp";
constexpr time_t kTouchAfterSeconds = 24 * 3600;

uint32_t Crc(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(crc32(0, nullptr, 0), reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// The content of a regular file of bounded size; empty on any failure. Notes that it was used.
std::string ReadBounded(const std::string& path) {
  const OwnedFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (fd.get() < 0 || fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  if (static_cast<uint64_t>(status.st_size) > SymbolCache::kMostFileBytes) return {};
  std::string content(static_cast<size_t>(status.st_size), '\0');
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = read(fd.get(), content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return {};
    done += static_cast<size_t>(n);
  }
  if (time(nullptr) - status.st_mtime > kTouchAfterSeconds) futimens(fd.get(), nullptr);
  return content;
}

// False, with no file left behind, if it cannot be written whole.
bool WriteWhole(const std::string& path, std::string_view content) {
  const OwnedFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd.get() < 0) return false;
  while (!content.empty()) {
    const ssize_t n = write(fd.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      unlink(path.c_str());
      return false;
    }
    content.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

template <typename Record>
void AppendRecords(const std::vector<Record>& records, std::string* out) {
  out->append(reinterpret_cast<const char*>(records.data()), records.size() * sizeof(Record));
}

template <typename Record>
std::string_view TakeRecords(std::string_view bytes, size_t count, std::vector<Record>* records) {
  records->resize(count);
  if (count > 0) std::memcpy(records->data(), bytes.data(), count * sizeof(Record));
  return bytes.substr(count * sizeof(Record));
}

}  // namespace

std::string DefaultCacheDirectory() {
  const std::string directory = UserDirectory("XDG_CACHE_HOME", ".cache");
  return directory.empty() ? directory : directory + "/memtrace";
}

SymbolCache::SymbolCache(const std::string& directory, const std::string& build_id, std::string_view fingerprint) {
  if (directory.empty() || build_id.empty() || fingerprint.empty()) return;
  directory_ = directory + "/symbols";
  path_ = directory_ + "/" + build_id + kEnding;
  fingerprint_ = StableHash().Add(fingerprint).value();
  if (Load()) return;
  entries_.clear();
  frames_.clear();
  text_.clear();
}

bool SymbolCache::Load() {
  const std::string content = ReadBounded(path_);
  Header header;
  if (content.size() < sizeof(header)) return false;
  std::memcpy(&header, content.data(), sizeof(header));
  std::string_view rest = std::string_view(content).substr(sizeof(header));
  if (header.magic != kMagic || header.version != kVersion || header.fingerprint != fingerprint_) return false;
  const uint64_t tables = uint64_t{header.entries} * sizeof(Entry) + uint64_t{header.frames} * sizeof(FrameRecord);
  if (tables > rest.size() || rest.size() - tables != header.text_bytes || Crc(rest) != header.crc) return false;
  rest = TakeRecords(rest, header.entries, &entries_);
  rest = TakeRecords(rest, header.frames, &frames_);
  text_ = rest;
  return Validate(header);
}

// The checksum tells chance; this tells malice.
bool SymbolCache::Validate(const Header& header) {
  if (text_.empty() || text_.back() != '\0') return false;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (i > 0 && entry.offset <= entries_[i - 1].offset) return false;
    if (entry.first_frame > header.frames || entry.frame_count > header.frames - entry.first_frame) return false;
  }
  return std::all_of(frames_.begin(), frames_.end(), [this](const FrameRecord& frame) {
    return frame.function < text_.size() && frame.file < text_.size() && frame.line <= INT32_MAX;
  });
}

std::optional<std::vector<SourceFrame>> SymbolCache::Find(uint64_t offset) const {
  const auto entry = std::lower_bound(entries_.begin(), entries_.end(), offset,
                                      [](const Entry& candidate, uint64_t o) { return candidate.offset < o; });
  if (entry == entries_.end() || entry->offset != offset) {
    const auto added = added_.find(offset);
    return added == added_.end() ? std::nullopt : std::optional(added->second);
  }
  std::vector<SourceFrame> frames(entry->frame_count);
  for (uint32_t i = 0; i < entry->frame_count; ++i) {
    const FrameRecord& record = frames_[entry->first_frame + i];
    frames[i] = {text_.c_str() + record.function, text_.c_str() + record.file, static_cast<int>(record.line),
                 record.inlined != 0};
  }
  return frames;
}

void SymbolCache::Add(uint64_t offset, const std::vector<SourceFrame>& frames) {
  if (!path_.empty()) added_.emplace(offset, frames);
}

std::string SymbolCache::Serialise() const {
  std::vector<Entry> entries;
  std::vector<FrameRecord> frames;
  std::string text;
  std::unordered_map<std::string, uint32_t> places;
  const auto place = [&text, &places](const std::string& string) {
    const auto [found, fresh] = places.try_emplace(string, static_cast<uint32_t>(text.size()));
    if (fresh) text.append(string.c_str(), string.size() + 1);
    return found->second;
  };
  place("");
  const auto add = [&](uint64_t offset, const std::vector<SourceFrame>& sources) {
    entries.push_back({offset, static_cast<uint32_t>(frames.size()), static_cast<uint32_t>(sources.size())});
    for (const SourceFrame& source : sources) {
      frames.push_back({place(source.function), place(source.file), static_cast<uint32_t>(std::max(source.line, 0)),
                        source.inlined ? 1u : 0u});
    }
  };
  auto added = added_.begin();
  for (const Entry& old : entries_) {
    for (; added != added_.end() && added->first < old.offset; ++added) add(added->first, added->second);
    add(old.offset, *Find(old.offset));
  }
  for (; added != added_.end(); ++added) add(added->first, added->second);

  std::string body;
  AppendRecords(entries, &body);
  AppendRecords(frames, &body);
  body += text;
  const Header header{kMagic,
                      kVersion,
                      Crc(body),
                      fingerprint_,
                      static_cast<uint32_t>(entries.size()),
                      static_cast<uint32_t>(frames.size()),
                      text.size()};
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + body;
}

void SymbolCache::Save() {
  if (path_.empty() || added_.empty()) return;
  std::string content = Serialise();
  if (content.size() > kMostFileBytes) {
    // Too much to keep for ever: begin anew with what this report needed.
    entries_.clear();
    content = Serialise();
    if (content.size() > kMostFileBytes) return;
  }
  std::error_code ignored;
  const mode_t mask = umask(077);
  fs::create_directories(directory_, ignored);
  umask(mask);
  const std::string temporary = fmt::format("{}.{}{}", path_, getpid(), kTemporary);
  if (!WriteWhole(temporary, content)) return;
  if (rename(temporary.c_str(), path_.c_str()) != 0) {
    unlink(temporary.c_str());
    return;
  }
  added_.clear();
  Prune();
}

void SymbolCache::Prune() const {
  struct CachedFile {
    fs::file_time_type used;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<CachedFile> files;
  uint64_t sum = 0;
  std::error_code error;
  const auto now = fs::file_time_type::clock::now();
  for (const auto& entry : fs::directory_iterator(directory_, error)) {
    std::error_code vanished;
    const fs::file_time_type used = entry.last_write_time(vanished);
    const uint64_t bytes = vanished ? 0 : entry.file_size(vanished);
    if (vanished) continue;
    const bool leftover = entry.path().extension() == kTemporary && now - used > std::chrono::hours(1);
    if (leftover) fs::remove(entry.path(), vanished);
    if (entry.path().extension() != kEnding) continue;
    sum += bytes;
    files.push_back({used, bytes, entry.path()});
  }
  if (sum <= kMostBytes) return;
  std::sort(files.begin(), files.end(), [](const CachedFile& a, const CachedFile& b) { return a.used < b.used; });
  for (const CachedFile& file : files) {
    if (sum <= kMostBytes / 4 * 3) break;
    std::error_code failed;
    if (fs::remove(file.path, failed)) sum -= file.bytes;
  }
}

}  // namespace memtrace::tools
