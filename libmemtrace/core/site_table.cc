#include "libmemtrace/core/site_table.h"

#include <bit>

#include "libmemtrace/rt/random.h"

namespace memtrace::core {
namespace {

using format::ColumnCell;
using format::SiteCell;

// The first eight bytes of a cell name what it counts.
template <typename Cell>
uint64_t& KeyOf(Cell* cell) {
  return *reinterpret_cast<uint64_t*>(cell);
}
static_assert(offsetof(SiteCell, node) == 0 && offsetof(SiteCell, writer) == 4 && offsetof(ColumnCell, key) == 0);
static_assert(std::endian::native == std::endian::little);

constexpr uint32_t kAllWriters = 0xffffffff;
uint64_t SiteKey(uint32_t writer, uint32_t site) { return uint64_t{writer} << 32 | site; }

// Keeps what the cell held when the peak was reached, before it changes for the first time since.
void FixPeak(SiteCell* cell, uint64_t peak_epoch) {
  if (cell->peak_epoch == peak_epoch) return;
  Store(cell->peak_bytes, cell->alloc_bytes - cell->free_bytes);
  Store(cell->peak_epoch, peak_epoch);
}

}  // namespace

bool SiteTable::Open(Recording* recording) {
  recording_ = recording;
  sites_.generation.store(0, std::memory_order_relaxed);
  columns_.generation.store(0, std::memory_order_relaxed);
  leftover_ = nullptr;
  return recording->AddChunk(sites_.kind) == 0 && recording->AddChunk(columns_.kind) == 0;
}

void SiteTable::ForgetInChild() {
  sites_.grow_lock.Reset();
  columns_.grow_lock.Reset();
  leftover_lock_.Reset();
}

// Generation g lies in the chunks with ordinals 2^g - 1 to 2^(g+1) - 2.
bool SiteTable::NextGeneration(Table* table, uint32_t generation) {
  const rt::LockHolder holder(&table->grow_lock);
  if (!holder.held()) return false;
  if (table->generation.load(std::memory_order_acquire) != generation) return true;
  const uint32_t wanted = (2u << (generation + 1)) - 1;
  if (recording_->ChunksLeft() < wanted - recording_->ChunkCount(table->kind)) return false;
  while (recording_->ChunkCount(table->kind) < wanted) {
    if (recording_->AddChunk(table->kind) < 0) return false;
  }
  table->generation.store(generation + 1, std::memory_order_release);
  return true;
}

template <typename Cell>
Cell* SiteTable::CellAt(const Table& table, uint32_t generation, uint32_t hash) const {
  constexpr uint32_t kPerChunk = format::kChunkBytes / sizeof(Cell);
  const uint32_t first_chunk = (1u << generation) - 1;
  const uint32_t index = hash & ((kPerChunk << generation) - 1);
  return reinterpret_cast<Cell*>(recording_->Chunk(table.kind, first_chunk + index / kPerChunk)) + index % kPerChunk;
}

void SiteTable::Prefetch(uint32_t writer, uint32_t site) const {
  const auto hash = static_cast<uint32_t>(rt::Mix(SiteKey(writer, site)));
  const auto* cell = CellAt<SiteCell>(sites_, sites_.generation.load(std::memory_order_acquire), hash);
  __builtin_prefetch(cell, 1);
  __builtin_prefetch(cell->columns, 1);
}

// The cell of `key`, made if need be; nullptr if there is no room. A neighbourhood of `probes` cells that is full makes
// the table grow, if it is not the whole table.
template <typename Cell>
Cell* SiteTable::Claim(Table* table, uint64_t key, uint32_t probes) {
  for (;;) {
    const uint32_t generation = table->generation.load(std::memory_order_acquire);
    const auto hash = static_cast<uint32_t>(rt::Mix(key));
    for (uint32_t probe = 0; probe < probes; ++probe) {
      auto* cell = CellAt<Cell>(*table, generation, hash + probe);
      uint64_t found = Load(KeyOf(cell));
      if (found == key) return cell;
      if (found != 0) continue;
      if (Atomic(KeyOf(cell)).compare_exchange_strong(found, key, std::memory_order_relaxed) || found == key)
        return cell;
    }
    if (probes != kProbes || !NextGeneration(table, generation)) return nullptr;
  }
}

template <typename Change>
void SiteTable::Update(uint32_t writer, uint32_t site, Change change) {
  auto* cell = Claim<SiteCell>(&sites_, SiteKey(writer, site));
  if (cell == nullptr) {
    recording_->CountDrop(format::Drop::kSiteTableFull);
    cell = Claim<SiteCell>(&sites_, SiteKey(writer, format::kUnknownSite));
  }
  const uint64_t peak_epoch = Load(recording_->header().peak_epoch);
  if (cell != nullptr) {
    FixPeak(cell, peak_epoch);
    change(cell);
    return;
  }
  const rt::LockHolder holder(&leftover_lock_);
  if (!holder.held()) {
    recording_->CountDrop(format::Drop::kBusy);
    return;
  }
  if (leftover_ == nullptr) {
    const uint32_t all = format::kSitesPerChunk << sites_.generation.load(std::memory_order_acquire);
    leftover_ = Claim<SiteCell>(&sites_, SiteKey(kAllWriters, format::kUnknownSite), all);
    if (leftover_ == nullptr) return;
  }
  FixPeak(leftover_, peak_epoch);
  change(leftover_);
}

void SiteTable::AddColumn(SiteCell* cell, int column, uint64_t bytes) {
  const uint64_t mark = format::InlineColumn(column, 0);
  for (uint64_t& slot : cell->columns) {
    const uint64_t value = slot;
    if (value != 0 && (value & ~format::kColumnBytesMask) != mark) continue;
    Store(slot, (value | mark) + bytes);
    return;
  }
  auto* shared = Claim<ColumnCell>(&columns_, format::ColumnKey(cell->node, column));
  if (shared == nullptr) {
    recording_->CountDrop(format::Drop::kSiteTableFull);
    return;
  }
  Atomic(shared->bytes).fetch_add(bytes, std::memory_order_relaxed);
}

void SiteTable::CountAllocation(uint32_t writer, uint32_t site, format::Weight weight, uint64_t work_bytes) {
  Update(writer, site, [&](SiteCell* cell) {
    Bump(cell->alloc_count_q16, weight.count_q16);
    Bump(cell->alloc_bytes, weight.bytes);
    AddColumn(cell, format::WorkColumn(work_bytes), weight.bytes);
  });
}

void SiteTable::CountFree(uint32_t writer, uint32_t site, format::Weight weight, uint64_t age_bytes, bool temporary) {
  Update(writer, site, [&](SiteCell* cell) {
    Bump(cell->free_count_q16, weight.count_q16);
    Bump(cell->free_bytes, weight.bytes);
    if (temporary) Bump(cell->temporary_count_q16, weight.count_q16);
    AddColumn(cell, format::AgeColumn(age_bytes), weight.bytes);
  });
}

}  // namespace memtrace::core
