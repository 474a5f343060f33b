// Counters per site and per column of a site, see format/tables.h.
#ifndef MEMTRACE_CORE_SITE_TABLE_H_
#define MEMTRACE_CORE_SITE_TABLE_H_

#include <atomic>
#include <cstdint>

#include "libmemtrace/core/recording.h"
#include "libmemtrace/format/weight.h"
#include "libmemtrace/rt/lock.h"

namespace memtrace::core {

// Where one thread's cells are: private memory of that thread. Open addressing, at most half full.
class SiteIndex {
 public:
  // The file offset of the cell in units of a cell, 0 if the thread has none for `site`.
  uint32_t Find(uint32_t site) const {
    if (__builtin_expect(entries_ == nullptr, 0)) return 0;
    for (uint32_t at = Hash(site);; ++at) {
      const Entry& entry = entries_[at & mask_];
      if (entry.site == site || entry.site == 0) return entry.cell;
    }
  }
  // The site that the thread counted an allocation for last, and its cell: mostly the next one's too.
  uint32_t recent_site = 0;
  format::SiteCell* recent_cell = nullptr;

  // Makes room for one more; *mapped_bytes is changed by the memory that this takes. False: there is none.
  bool Reserve(std::atomic<uint64_t>* mapped_bytes) { return used_ * 2 < mask_ || Grow(mapped_bytes); }
  void Add(uint32_t site, uint32_t cell);
  // Unmaps what it took. Requires: its thread is not recorded any more.
  void Release();

 private:
  struct Entry {
    uint32_t site;  // 0: empty
    uint32_t cell;
  };
  uint32_t Hash(uint32_t site) const { return site * 0x9e3779b1u >> shift_; }
  bool Grow(std::atomic<uint64_t>* mapped_bytes);

  Entry* entries_ = nullptr;
  uint32_t mask_ = 0;  // one less than there are entries
  uint32_t shift_ = 0;
  uint32_t used_ = 0;
};

// Cells are handed out one after the other, for a pair of site and thread, and then written by that thread alone, with
// plain stores: threads meet on no line, nothing is searched in the recording, evicted or moved. Readers add cells up.
class SiteTable {
 public:
  bool Open(Recording* recording);
  void ForgetInChild();

  // Of the indexes of all threads.
  uint64_t private_bytes() const { return private_bytes_.load(std::memory_order_relaxed); }

  // `writer` is the index of the calling thread's buffer, `index` the thread's. Without room the counters go to the
  // unknown site.
  [[gnu::always_inline]] void CountAllocation(uint32_t writer, SiteIndex* index, uint32_t site, format::Weight weight,
                                              uint64_t work_bytes) {
    if (__builtin_expect(site != index->recent_site, 0)) {
      return CountAllocationElsewhere(writer, index, site, weight, work_bytes);
    }
    FixPeak(index->recent_cell);
    AddAllocation(index->recent_cell, weight, work_bytes);
  }
  // age_bytes: what the process has allocated since the block was.
  void CountFree(uint32_t writer, SiteIndex* index, uint32_t site, format::Weight weight, uint64_t age_bytes,
                 bool temporary) {
    Update(writer, index, site, index->Find(site), [&](format::SiteCell* cell) {
      Bump(cell->free_count_q16, weight.count_q16);
      Bump(cell->free_bytes, weight.bytes);
      if (temporary) Bump(cell->temporary_count_q16, weight.count_q16);
      AddColumn(cell, format::AgeColumn(age_bytes), weight.bytes);
    });
  }

 private:
  static constexpr uint32_t kProbes = 16;
  static constexpr uint32_t kColumnSlots = sizeof(format::SiteCell::columns) / sizeof(uint32_t);

  format::SiteCell* CellAt(uint32_t offset) const {
    return reinterpret_cast<format::SiteCell*>(const_cast<uint8_t*>(recording_->data())) + offset;
  }
  uint32_t NewCell(uint32_t writer, uint32_t site);
  format::SiteCell* Claim(uint32_t writer, SiteIndex* index, uint32_t site);
  format::SiteCell* LockLeftover();

  // Keeps what the cell held when the peak was reached, before it changes for the first time since.
  void FixPeak(format::SiteCell* cell) {
    const uint64_t epoch = Load(recording_->header().peak_epoch);
    if (cell->peak_epoch == epoch) return;
    Store(cell->peak_bytes, cell->alloc_bytes - cell->free_bytes);
    Store(cell->peak_epoch, epoch);
  }
  void AddAllocation(format::SiteCell* cell, format::Weight weight, uint64_t work_bytes) {
    Bump(cell->alloc_count_q16, weight.count_q16);
    Bump(cell->alloc_bytes, weight.bytes);
    AddColumn(cell, format::WorkColumn(work_bytes), weight.bytes);
  }
  [[gnu::noinline]] void CountAllocationElsewhere(uint32_t writer, SiteIndex* index, uint32_t site,
                                                  format::Weight weight, uint64_t work_bytes) {
    const uint32_t known = index->Find(site);
    if (__builtin_expect(known != 0, 1)) {
      index->recent_site = site;
      index->recent_cell = CellAt(known);
    }
    Update(writer, index, site, known, [&](format::SiteCell* cell) { AddAllocation(cell, weight, work_bytes); });
  }
  // `known`: what the index says.
  template <typename Change>
  void Update(uint32_t writer, SiteIndex* index, uint32_t site, uint32_t known, Change change) {
    format::SiteCell* cell = __builtin_expect(known != 0, 1) ? CellAt(known) : Claim(writer, index, site);
    const bool shared = cell == nullptr;
    if (__builtin_expect(shared, 0) && (cell = LockLeftover()) == nullptr) return;
    FixPeak(cell);
    change(cell);
    if (shared) leftover_lock_.Release();
  }

  // Ages of one site's blocks are mostly neighbours, and of the octaves of work only the present one grows: so each has
  // a slot that is looked at first and mostly right.
  static constexpr uint32_t kWorkSlot = kColumnSlots - 1;
  static constexpr uint32_t HomeOf(int column) {
    return column >= format::kOctaves ? kWorkSlot : static_cast<uint32_t>(column) % kWorkSlot;
  }
  void AddColumn(format::SiteCell* cell, int column, uint64_t bytes) {
    uint32_t& slot = cell->columns[HomeOf(column)];
    const uint64_t held = slot ^ format::InlineColumn(column, 0);  // bytes, if it is the slot of this column
    if (__builtin_expect((held | (held + bytes)) <= format::kColumnBytesMask, 1)) {
      Store(slot, slot + static_cast<uint32_t>(bytes));
    } else {
      AddElsewhere(cell, column, bytes);
    }
  }
  void AddElsewhere(format::SiteCell* cell, int column, uint64_t bytes);
  void SetSlot(format::SiteCell* cell, uint32_t* slot, int column, uint64_t bytes);
  void MoveOut(format::SiteCell* cell, uint32_t* slot);
  void AddShared(uint32_t node, int column, uint64_t bytes);
  format::ColumnCell* ColumnAt(uint32_t generation, uint32_t hash) const;
  format::ColumnCell* ClaimColumn(uint64_t key);
  bool NextGeneration(uint32_t generation);

  Recording* recording_ = nullptr;
  std::atomic<uint32_t> cells_{0};  // handed out
  std::atomic<uint64_t> private_bytes_{0};
  // Of columns that their cells have no room for: open addressing in a generation of 2^g chunks. When a neighbourhood
  // is full the next generation, twice as large, begins, and the old one is left as it is.
  std::atomic<uint32_t> column_generation_{0};
  rt::Lock column_grow_lock_;
  // The first cell, of the unknown site: shared by threads that find no room for one of their own.
  rt::Lock leftover_lock_;
};

}  // namespace memtrace::core

#endif  // MEMTRACE_CORE_SITE_TABLE_H_
