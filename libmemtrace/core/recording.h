// The recording: one growing file, mapped shared, so that what is stored is safe at once.
//
// Context of everything in core/: inside malloc and in signal handlers. Allocates: never from
// malloc. errno: untouched. Failures are counted in the file and the program goes on.
#ifndef MEMTRACE_CORE_RECORDING_H_
#define MEMTRACE_CORE_RECORDING_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/format/recording.h"
#include "libmemtrace/format/tables.h"
#include "libmemtrace/rt/lock.h"
#include "libmemtrace/rt/os.h"

namespace memtrace::core {

// Shared words of the file are plain integers there and atomics here.
template <typename T>
std::atomic_ref<T> Atomic(T& word) {
  return std::atomic_ref<T>(word);
}
template <typename T>
T Load(const T& word, std::memory_order order = std::memory_order_relaxed) {
  return std::atomic_ref<T>(const_cast<T&>(word)).load(order);
}
template <typename T>
void Store(T& word, T value, std::memory_order order = std::memory_order_relaxed) {
  std::atomic_ref<T>(word).store(value, order);
}
// For words that one thread writes and others only read.
template <typename T>
void Bump(T& word, T by) {
  Store(word, static_cast<T>(word + by));
}

class Recording {
 public:
  // Makes the file under a temporary name in `directory`, maps it and fills the part of the header
  // that describes the layout. Returns 0 or a negative error number. The caller fills in the rest of
  // the header and calls Publish.
  int Create(const char* directory, uint64_t max_bytes);
  // Gives the file its name; never replaces another file. Returns 0 or a negative error number (-EEXIST: choose
  // another name).
  int Publish(const char* name);
  // Removes the file. The mapping stays, what is recorded from now on is lost.
  void Remove();

  // In a forked child: maps the parent's file for reading, where it was, until Close. Returns whether that worked.
  bool MapParents();
  // Unmaps and closes the file, which stays. Requires that nobody uses it any more.
  void Close();
  // In a forked child the mapping does not exist (MADV_DONTFORK) and locks may be held by nobody.
  void ForgetInChild();

  bool open() const { return base_ != nullptr; }
  format::Header& header() const { return *reinterpret_cast<format::Header*>(base_); }
  const char* path() const { return path_; }
  uint64_t file_bytes() const { return file_bytes_.load(std::memory_order_relaxed); }

  // Adds a chunk of `kind` and returns its ordinal, or -1: the file may not or cannot grow.
  int AddChunk(format::ChunkKind kind);
  uint32_t ChunkCount(format::ChunkKind kind) const {
    return counts_[static_cast<int>(kind)].load(std::memory_order_acquire);
  }
  // The `ordinal`-th chunk of `kind`. Requires ordinal < ChunkCount(kind).
  uint8_t* Chunk(format::ChunkKind kind, uint32_t ordinal) const {
    return chunks_ + uint64_t{table_[static_cast<uint32_t>(kind) * max_chunks_ + ordinal]} * format::kChunkBytes;
  }
  // Numbers of the chunks of `kind`, by ordinal.
  const uint16_t* Numbers(format::ChunkKind kind) const { return table_ + static_cast<uint32_t>(kind) * max_chunks_; }
  // Where chunk 0 is.
  uint8_t* chunks() const { return chunks_; }
  // Record `index` of the logical array of `kind`.
  template <typename Record, format::ChunkKind kind>
  Record* At(uint32_t index) const {
    constexpr uint32_t kPerChunk = format::kChunkBytes / sizeof(Record);
    return reinterpret_cast<Record*>(Chunk(kind, index / kPerChunk)) + index % kPerChunk;
  }
  // Chunks that could still be added.
  uint32_t ChunksLeft() const;

  void CountDrop(format::Drop cause, uint64_t events = 1) const;
  void RaiseFlag(uint32_t flag) const;
  uint64_t locked_bytes() const { return locked_bytes_.load(std::memory_order_relaxed); }
  uint64_t unlocked_bytes() const { return file_bytes() - locked_bytes(); }
  bool fully_locked() const { return unlocked_bytes() == 0; }
  // Whether a fault on a page that was reclaimed reads what lies around it as well, as the kernel does by default: 128
  // KiB, on some devices megabytes. On the brink the next reclaim would drop all of it again instead of killing.
  void ReadAround(bool on);
  // Where the next chunk that is neither the file's nor another's would be written: also the size of a
  // consistent copy.
  uint64_t used_bytes() const;
  const uint8_t* data() const { return base_; }
  // Address space from data() on that the file may grow into; what lies beyond file_bytes() cannot be read.
  uint64_t reserved_bytes() const { return max_bytes_; }

 private:
  bool Grow(uint64_t bytes);
  bool MapTail(uint64_t from, uint64_t to);
  void LockTail(uint64_t from, uint64_t to);
  int UsableDescriptor();

  uint8_t* base_ = nullptr;
  void* reservation_ = nullptr;  // address space for all of it, where it could not be placed without
  uint8_t* chunks_ = nullptr;
  uint16_t* table_ = nullptr;  // [kind][ordinal] -> chunk number
  uint64_t table_bytes_ = 0;
  uint64_t max_bytes_ = 0;
  uint32_t max_chunks_ = 0;               // what the directory has room for
  std::atomic<uint32_t> chunk_limit_{0};  // lowered when the file cannot grow
  int fd_ = -1;
  rt::FileIdentity identity_;
  std::atomic<uint64_t> locked_bytes_{0};
  uint64_t lock_limit_ = 0;
  std::atomic<int> read_advice_{0};  // MADV_NORMAL or MADV_RANDOM
  std::atomic<uint64_t> file_bytes_{0};
  std::atomic<uint32_t> counts_[format::kChunkKinds] = {};
  rt::Lock grow_lock_;
  char directory_[512] = {};
  char path_[768] = {};
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_RECORDING_H_
