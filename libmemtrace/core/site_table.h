// Counters per site and per column of a site, see format/tables.h.
#ifndef MEMTRACE_CORE_SITE_TABLE_H_
#define MEMTRACE_CORE_SITE_TABLE_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/core/recording.h"
#include "libmemtrace/format/weight.h"
#include "libmemtrace/rt/lock.h"

namespace memtrace::core {

// Open addressing in a generation of 2^g chunks. When a neighbourhood is full the next generation, twice as large,
// begins, and the old one is left as it is: cells add up, so nothing ever moves. A cell is claimed once for a pair of
// site and thread, and then written by that thread alone, with plain stores.
class SiteTable {
 public:
  bool Open(Recording* recording);
  void ForgetInChild();

  void Prefetch(uint32_t writer, uint32_t site) const;
  // `writer` is the index of the calling thread's buffer. Without room the counters go to the unknown site.
  void CountAllocation(uint32_t writer, uint32_t site, format::Weight weight, uint64_t work_bytes);
  // age_bytes: what the process has allocated since the block was.
  void CountFree(uint32_t writer, uint32_t site, format::Weight weight, uint64_t age_bytes, bool temporary);

 private:
  static constexpr uint32_t kProbes = 16;
  struct Table {
    constexpr explicit Table(format::ChunkKind table_kind) : kind(table_kind) {}
    format::ChunkKind kind;
    std::atomic<uint32_t> generation{0};
    rt::Lock grow_lock;
  };
  template <typename Cell>
  Cell* CellAt(const Table& table, uint32_t generation, uint32_t hash) const;
  template <typename Cell>
  Cell* Claim(Table* table, uint64_t key, uint32_t probes = kProbes);
  bool NextGeneration(Table* table, uint32_t generation);
  template <typename Change>
  void Update(uint32_t writer, uint32_t site, Change change);
  void AddColumn(format::SiteCell* cell, int column, uint64_t bytes);

  Recording* recording_ = nullptr;
  Table sites_{format::ChunkKind::kSite};
  Table columns_{format::ChunkKind::kColumn};
  // Of the unknown site, claimed when a thread first finds no room for one of its own; all such threads share it.
  format::SiteCell* leftover_ = nullptr;
  rt::Lock leftover_lock_;
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_SITE_TABLE_H_
