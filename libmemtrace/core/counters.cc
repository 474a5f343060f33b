#include "libmemtrace/core/counters.h"

#include "libmemtrace/rt/random.h"

namespace memtrace::core {
namespace {

using format::ColumnCell;
using format::SiteCell;

constexpr uint32_t kProbes = 16;

uint32_t& KeyOf(SiteCell& cell) { return cell.node; }
uint64_t& KeyOf(ColumnCell& cell) { return cell.key; }

// What a cell contributed at the process's peak: the value from then, or the present one if it has not changed since.
uint64_t PeakBytes(const SiteCell& cell, uint64_t peak_epoch) {
  return cell.peak_epoch == peak_epoch ? cell.peak_bytes : cell.alloc_bytes - cell.free_bytes;
}

void FixPeak(SiteCell* cell, uint64_t peak_epoch) {
  if (cell->peak_epoch == peak_epoch) return;
  Store(cell->peak_bytes, cell->alloc_bytes - cell->free_bytes);
  Store(cell->peak_epoch, peak_epoch);
}

}  // namespace

bool SharedCounters::Open(Recording* recording) {
  recording_ = recording;
  sites_.generation.store(0, std::memory_order_relaxed);
  columns_.generation.store(0, std::memory_order_relaxed);
  return recording->AddChunk(sites_.kind) == 0 && recording->AddChunk(columns_.kind) == 0;
}

void SharedCounters::ForgetInChild() {
  sites_.grow_lock.Reset();
  columns_.grow_lock.Reset();
}

// Generation g lies in the chunks with ordinals 2^g - 1 to 2^(g+1) - 2.
template <typename Cell>
bool SharedCounters::NextGeneration(Table* table, uint32_t generation) {
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

// The cell of `key`, made if need be; nullptr if there is no room.
template <typename Cell, typename Key>
Cell* SharedCounters::Claim(Table* table, Key key) {
  constexpr uint32_t kPerChunk = format::kChunkBytes / sizeof(Cell);
  for (;;) {
    const uint32_t generation = table->generation.load(std::memory_order_acquire);
    const uint32_t cells = kPerChunk << generation;
    const uint32_t first_chunk = (1u << generation) - 1;
    const auto hash = static_cast<uint32_t>(rt::Mix(key));
    for (uint32_t probe = 0; probe < kProbes; ++probe) {
      const uint32_t index = (hash + probe) & (cells - 1);
      Cell* cell =
          reinterpret_cast<Cell*>(recording_->Chunk(table->kind, first_chunk + index / kPerChunk)) + index % kPerChunk;
      Key found = Load(KeyOf(*cell), std::memory_order_relaxed);
      if (found == 0 && Atomic(KeyOf(*cell)).compare_exchange_strong(found, key, std::memory_order_relaxed)) return cell;
      if (found == key) return cell;
    }
    if (!NextGeneration<Cell>(table, generation)) return nullptr;
  }
}

void SharedCounters::Add(const SiteCell& cell) {
  auto* shared = Claim<SiteCell>(&sites_, cell.node);
  if (shared == nullptr) {
    recording_->CountDrop(format::Drop::kSiteTableFull);
    shared = Claim<SiteCell>(&sites_, format::kUnknownSite);
    if (shared == nullptr) return;
  }
  const bool locked = rt::WaitFor([shared] { return Atomic(shared->lock).exchange(1, std::memory_order_acquire) == 0; });
  if (!locked) {
    recording_->CountDrop(format::Drop::kBusy);
    return;
  }
  const uint64_t epoch = Load(recording_->header().peak_epoch);
  FixPeak(shared, epoch);
  Bump(shared->peak_bytes, PeakBytes(cell, epoch));
  Bump(shared->alloc_count_q16, cell.alloc_count_q16);
  Bump(shared->alloc_bytes, cell.alloc_bytes);
  Bump(shared->free_count_q16, cell.free_count_q16);
  Bump(shared->free_bytes, cell.free_bytes);
  Bump(shared->temporary_count_q16, cell.temporary_count_q16);
  Store(shared->lock, uint32_t{0}, std::memory_order_release);
}

void SharedCounters::Add(const ColumnCell& cell) {
  auto* shared = Claim<ColumnCell>(&columns_, cell.key);
  if (shared == nullptr) {
    recording_->CountDrop(format::Drop::kSiteTableFull);
    return;
  }
  Atomic(shared->bytes).fetch_add(cell.bytes, std::memory_order_relaxed);
}

SiteCell* ThreadCounters::Site(uint32_t site) {
  const uint32_t slot = static_cast<uint32_t>(rt::Mix(site)) & (header_.thread_sites - 1);
  SiteCell* cell = SiteCells(buffer_) + slot;
  if (cell->node == site) return cell;
  if (cell->node != 0) shared_->Add(*cell);
  // Cleared before it is named: a kill in between loses this cell, never mixes two sites.
  Store(cell->node, uint32_t{0});
  cell->alloc_count_q16 = cell->alloc_bytes = cell->free_count_q16 = cell->free_bytes = 0;
  cell->temporary_count_q16 = cell->peak_bytes = 0;
  cell->peak_epoch = Load(header_.peak_epoch);
  Store(cell->node, site, std::memory_order_release);
  return cell;
}

void ThreadCounters::AddColumn(uint32_t site, int column, uint64_t bytes) {
  const uint64_t key = format::ColumnKey(site, column);
  const uint32_t slot = static_cast<uint32_t>(rt::Mix(key)) & (header_.thread_columns - 1);
  ColumnCell* cell = ColumnCells(buffer_, header_.thread_sites) + slot;
  if (cell->key != key) {
    if (cell->key != 0) shared_->Add(*cell);
    Store(cell->key, uint64_t{0});
    cell->bytes = 0;
    Store(cell->key, key, std::memory_order_release);
  }
  Bump(cell->bytes, bytes);
}

void ThreadCounters::CountAllocation(uint32_t site, format::Weight weight, uint64_t work_bytes) {
  SiteCell* cell = Site(site);
  FixPeak(cell, Load(header_.peak_epoch));
  Bump(cell->alloc_count_q16, weight.count_q16);
  Bump(cell->alloc_bytes, weight.bytes);
  AddColumn(site, format::WorkColumn(work_bytes), weight.bytes);
}

void ThreadCounters::CountFree(uint32_t site, format::Weight weight, uint64_t age_bytes, bool temporary) {
  SiteCell* cell = Site(site);
  FixPeak(cell, Load(header_.peak_epoch));
  Bump(cell->free_count_q16, weight.count_q16);
  Bump(cell->free_bytes, weight.bytes);
  if (temporary) Bump(cell->temporary_count_q16, weight.count_q16);
  AddColumn(site, format::AgeColumn(age_bytes), weight.bytes);
}

}  // namespace memtrace::core
