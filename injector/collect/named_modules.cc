#include "injector/collect/named_modules.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "injector/container_root.h"
#include "libmemtrace/format/recording.h"
#include "libmemtrace/format/tables.h"

namespace memtrace::injector {
namespace {

constexpr size_t kMostModules = 4096;

bool ReadAt(const Descriptor& file, void* buffer, size_t size, uint64_t offset) {
  return offset < (uint64_t{1} << 62) &&
         pread(file.get(), buffer, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
}

std::string Hex(const uint8_t* bytes, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) (text += kDigits[bytes[i] >> 4]) += kDigits[bytes[i] & 15];
  return text;
}

}  // namespace

bool AddNamedModules(const std::string& recording, std::map<std::string, std::string>* path_by_build_id) {
  const Descriptor file(open(recording.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  format::Header header;
  if (!file.ok() || !ReadAt(file, &header, sizeof(header), 0) ||
      memcmp(header.magic, format::kMagic, sizeof(header.magic)) != 0 || header.version != format::kVersion ||
      header.chunk_bytes != format::kChunkBytes) {
    return false;
  }
  const uint32_t chunks = std::min({header.chunk_count, header.max_chunks, format::kMaxChunks});
  std::vector<uint32_t> directory(chunks);
  if (chunks > 0 && !ReadAt(file, directory.data(), chunks * sizeof(uint32_t), header.directory_offset)) return true;
  std::vector<format::Module> modules(format::kModulesPerChunk);
  for (uint32_t i = 0; i < chunks; ++i) {
    if (format::EntryKind(directory[i]) != format::ChunkKind::kModule) continue;
    if (!ReadAt(file, modules.data(), modules.size() * sizeof(format::Module),
                header.front_bytes + uint64_t{i} * format::kChunkBytes)) {
      continue;
    }
    for (const format::Module& module : modules) {
      if (module.build_id_bytes < 4 || module.build_id_bytes > sizeof(module.build_id)) continue;
      if (module.path_bytes == 0 || module.path_bytes > sizeof(module.path) || module.path[0] != '/') continue;
      if (path_by_build_id->size() >= kMostModules) return true;
      path_by_build_id->try_emplace(Hex(module.build_id, module.build_id_bytes),
                                    std::string(module.path, module.path_bytes));
    }
  }
  return true;
}

}  // namespace memtrace::injector
