// Counters per site and per column of a site (see format/tables.h): each thread counts in its own buffer; cells that do
// not fit there are added to the shared tables. Readers add everything up.
#ifndef MEMTRACE_CORE_COUNTERS_H_
#define MEMTRACE_CORE_COUNTERS_H_

#include <cstdint>

#include "libmemtrace/core/recording.h"
#include "libmemtrace/format/weight.h"
#include "libmemtrace/rt/lock.h"

namespace memtrace::core {

// The shared tables. Open addressing in a generation of 2^g chunks; when a neighbourhood is full the next generation, twice as
// large, begins, and the old one is left as it is: cells add up, so nothing has to move.
class SharedCounters {
 public:
  bool Open(Recording* recording);
  void ForgetInChild();

  // Adds the cell of a thread buffer. Requires that nobody else changes `cell`.
  void Add(const format::SiteCell& cell);
  void Add(const format::ColumnCell& cell);

 private:
  struct Table {
    constexpr explicit Table(format::ChunkKind table_kind) : kind(table_kind) {}
    format::ChunkKind kind;
    std::atomic<uint32_t> generation{0};
    rt::Lock grow_lock;
  };
  template <typename Cell, typename Key>
  Cell* Claim(Table* table, Key key);
  template <typename Cell>
  bool NextGeneration(Table* table, uint32_t generation);

  Recording* recording_ = nullptr;
  Table sites_{format::ChunkKind::kSite};
  Table columns_{format::ChunkKind::kColumn};
};

// The tables behind the ThreadBuffer of one thread. No other thread writes them.
class ThreadCounters {
 public:
  ThreadCounters(const format::Header& header, format::ThreadBuffer* buffer, SharedCounters* shared)
      : header_(header), buffer_(buffer), shared_(shared) {}

  void CountAllocation(uint32_t site, format::Weight weight, uint64_t work_bytes);
  // age_bytes: bytes the process has allocated since the block was.
  void CountFree(uint32_t site, format::Weight weight, uint64_t age_bytes, bool temporary);

 private:
  format::SiteCell* Site(uint32_t site);
  void AddColumn(uint32_t site, int column, uint64_t bytes);

  const format::Header& header_;
  format::ThreadBuffer* buffer_;
  SharedCounters* shared_;
};

inline format::SiteCell* SiteCells(format::ThreadBuffer* buffer) {
  return reinterpret_cast<format::SiteCell*>(buffer + 1);
}
inline format::ColumnCell* ColumnCells(format::ThreadBuffer* buffer, uint32_t sites) {
  return reinterpret_cast<format::ColumnCell*>(SiteCells(buffer) + sites);
}
inline format::DeferredEvent* DeferredEvents(format::ThreadBuffer* buffer, uint32_t sites, uint32_t columns) {
  return reinterpret_cast<format::DeferredEvent*>(ColumnCells(buffer, sites) + columns);
}

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_COUNTERS_H_
