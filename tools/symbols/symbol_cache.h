// Names that were resolved once, kept on disk for the next report: one file per build-id.
#ifndef MEMTRACE_TOOLS_SYMBOLS_SYMBOL_CACHE_H_
#define MEMTRACE_TOOLS_SYMBOLS_SYMBOL_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/symbols/source_frame.h"

namespace memtrace::tools {

// XDG_CACHE_HOME/memtrace, else HOME/.cache/memtrace; empty where neither is an absolute path.
std::string DefaultCacheDirectory();

// Also knows the addresses that have no name. A cache is never needed: a file that is missing, damaged, of another
// version or made from other debug information counts as empty and is replaced; one that cannot be written is not. A
// file appears under its name when it is whole. The whole directory is kept below kMostBytes by removing files that
// were not used for longest.
class SymbolCache {
 public:
  static constexpr uint64_t kMostBytes = uint64_t{256} << 20;
  static constexpr uint64_t kMostFileBytes = uint64_t{64} << 20;

  // `fingerprint` says what the names come from. Without a directory, build-id or fingerprint nothing is kept.
  SymbolCache(const std::string& directory, const std::string& build_id, std::string_view fingerprint);

  std::optional<std::vector<SourceFrame>> Find(uint64_t offset) const;
  void Add(uint64_t offset, const std::vector<SourceFrame>& frames);
  // Writes what was added, together with what was there.
  void Save();

 private:
  struct Entry {
    uint64_t offset;
    uint32_t first_frame;
    uint32_t frame_count;
  };
  struct FrameRecord {
    uint32_t function;  // offset in the text
    uint32_t file;
    uint32_t line;
    uint32_t inlined;
  };
  struct Header;

  bool Load();
  bool Validate(const Header& header);
  std::string Serialise() const;
  void Prune() const;

  std::string directory_;
  std::string path_;  // empty: no cache
  uint64_t fingerprint_ = 0;
  std::vector<Entry> entries_;  // by offset, of the file
  std::vector<FrameRecord> frames_;
  std::string text_;  // strings, each ended by NUL
  std::map<uint64_t, std::vector<SourceFrame>> added_;
};

}  // namespace memtrace::tools

#endif  // MEMTRACE_TOOLS_SYMBOLS_SYMBOL_CACHE_H_
