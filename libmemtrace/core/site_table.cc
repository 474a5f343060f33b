#include "libmemtrace/core/site_table.h"

#include <bit>

#include "libmemtrace/rt/random.h"

namespace memtrace::core {
namespace {

using format::ColumnCell;
using format::SiteCell;

constexpr uint32_t kAllWriters = 0xffffffff;
constexpr uint32_t kFirstEntries = 512;  // a page

// The first eight bytes of a cell name what it counts: readers find both halves or none.
void Name(SiteCell* cell, uint32_t writer, uint32_t site) {
  static_assert(offsetof(SiteCell, node) == 0 && offsetof(SiteCell, writer) == 4);
  static_assert(std::endian::native == std::endian::little);
  Store(*reinterpret_cast<uint64_t*>(cell), uint64_t{writer} << 32 | site, std::memory_order_release);
}

bool IsWork(uint32_t slot) { return slot >> format::kColumnShift > format::kOctaves; }

}  // namespace

bool SiteIndex::Grow(std::atomic<uint64_t>* mapped_bytes) {
  const SiteIndex old = *this;
  const uint32_t entries = old.entries_ == nullptr ? kFirstEntries : (old.mask_ + 1) * 2;
  auto* fresh = static_cast<Entry*>(rt::MapAnonymous(entries * sizeof(Entry)));
  if (fresh == nullptr) return false;
  entries_ = fresh;
  mask_ = entries - 1;
  shift_ = static_cast<uint32_t>(std::countl_zero(mask_));
  used_ = 0;
  // Ordered with the subtraction of a thread whose memory the kernel may have given to this one.
  mapped_bytes->fetch_add(entries * sizeof(Entry), std::memory_order_acq_rel);
  if (old.entries_ == nullptr) return true;
  for (uint32_t i = 0; i <= old.mask_; ++i) {
    if (old.entries_[i].site != 0) Add(old.entries_[i].site, old.entries_[i].cell);
  }
  mapped_bytes->fetch_sub((old.mask_ + 1) * sizeof(Entry), std::memory_order_acq_rel);
  rt::Unmap(old.entries_, (old.mask_ + 1) * sizeof(Entry));
  return true;
}

void SiteIndex::Release() {
  if (entries_ != nullptr) rt::Unmap(entries_, (mask_ + 1) * sizeof(Entry));
  *this = SiteIndex();
}

void SiteIndex::Add(uint32_t site, uint32_t cell) {
  uint32_t at = Hash(site);
  while (entries_[at & mask_].site != 0) ++at;
  entries_[at & mask_] = {site, cell};
  ++used_;
}

bool SiteTable::Open(Recording* recording) {
  recording_ = recording;
  cells_.store(1, std::memory_order_relaxed);
  private_bytes_.store(0, std::memory_order_relaxed);
  column_generation_.store(0, std::memory_order_relaxed);
  return recording->AddChunk(format::ChunkKind::kSite) == 0 && recording->AddChunk(format::ChunkKind::kColumn) == 0;
}

void SiteTable::ForgetInChild() {
  column_grow_lock_.Reset();
  leftover_lock_.Reset();
}

// Offset of a fresh cell, 0 if there is no room. A number is taken only when there is room for its cell.
uint32_t SiteTable::NewCell(uint32_t writer, uint32_t site) {
  uint32_t number = cells_.load(std::memory_order_relaxed);
  const auto has_room = [this, &number] {
    return number / format::kSitesPerChunk < recording_->ChunkCount(format::ChunkKind::kSite);
  };
  do {
    while (!has_room()) {
      if (recording_->AddChunk(format::ChunkKind::kSite) < 0 && !has_room()) return 0;
    }
  } while (!cells_.compare_exchange_weak(number, number + 1, std::memory_order_relaxed));
  auto* cell = recording_->At<SiteCell, format::ChunkKind::kSite>(number);
  Name(cell, writer, site);
  return static_cast<uint32_t>(cell - CellAt(0));
}

// The thread's cell for a site that it meets for the first time; else its one for the unknown site; else nullptr.
SiteCell* SiteTable::Claim(uint32_t writer, SiteIndex* index, uint32_t site) {
  for (const uint32_t name : {site, format::kUnknownSite}) {
    const uint32_t known = index->Find(name);
    if (known != 0) return CellAt(known);
    const uint32_t fresh = index->Reserve(&private_bytes_) ? NewCell(writer, name) : 0;
    if (fresh != 0) {
      index->Add(name, fresh);
      return CellAt(fresh);
    }
    if (name == site) recording_->CountDrop(format::Drop::kSiteTableFull);
  }
  return nullptr;
}

SiteCell* SiteTable::LockLeftover() {
  if (!leftover_lock_.Acquire()) {
    recording_->CountDrop(format::Drop::kBusy);
    return nullptr;
  }
  auto* cell = recording_->At<SiteCell, format::ChunkKind::kSite>(0);
  if (cell->node == 0) Name(cell, kAllWriters, format::kUnknownSite);
  return cell;
}

// Frees a slot: its column goes to a slot that is empty, else to the shared cells. A reader may see it twice meanwhile.
void SiteTable::MoveOut(SiteCell* cell, uint32_t* slot) {
  for (uint32_t& other : cell->columns) {
    if (other != 0) continue;
    Store(other, *slot);
    return;
  }
  AddShared(cell->node, static_cast<int>(*slot >> format::kColumnShift) - 1, *slot & format::kColumnBytesMask);
}

// What does not fit into a slot goes to the shared cells.
void SiteTable::SetSlot(SiteCell* cell, uint32_t* slot, int column, uint64_t bytes) {
  const bool fits = bytes <= format::kColumnBytesMask;
  if (!fits) AddShared(cell->node, column, bytes);
  Store(*slot, format::InlineColumn(column, fits ? static_cast<uint32_t>(bytes) : 0));
}

// The home slot is empty, full, or holds another column. An octave of work that is over makes room, and an age to the
// octave that is not; where all slots are ages, one that is rare goes to the shared cells, and one that is not soon
// gets its home.
[[gnu::noinline]] void SiteTable::AddElsewhere(SiteCell* cell, int column, uint64_t bytes) {
  uint32_t* home = &cell->columns[HomeOf(column)];
  uint32_t* empty = nullptr;
  for (uint32_t& slot : cell->columns) {
    const uint32_t held = slot ^ format::InlineColumn(column, 0);
    if (held <= format::kColumnBytesMask) return SetSlot(cell, &slot, column, held + bytes);
    if (slot == 0 && empty == nullptr) empty = &slot;
  }
  const bool new_octave = column >= format::kOctaves && IsWork(*home);
  if (new_octave) {
    const uint64_t held = cell->alloc_bytes - bytes - cell->free_bytes;
    AddShared(cell->node, column - format::kOctaves + format::kHeldColumns, held);
  }
  const bool often = (cell->free_count_q16 >> format::kCountShift) % 16 == 0;
  const bool takes_home = *home == 0 || IsWork(*home) || column >= format::kOctaves;
  uint32_t* target = takes_home || (empty == nullptr && often) ? home : empty;
  if (target == nullptr) return AddShared(cell->node, column, bytes);
  if (*target != 0) MoveOut(cell, target);
  SetSlot(cell, target, column, bytes);
}

void SiteTable::AddShared(uint32_t node, int column, uint64_t bytes) {
  ColumnCell* shared = ClaimColumn(format::ColumnKey(node, column));
  if (shared == nullptr) {
    recording_->CountDrop(format::Drop::kSiteTableFull);
    return;
  }
  Atomic(shared->bytes).fetch_add(bytes, std::memory_order_relaxed);
}

// Generation g lies in the chunks with ordinals 2^g - 1 to 2^(g+1) - 2.
bool SiteTable::NextGeneration(uint32_t generation) {
  constexpr auto kKind = format::ChunkKind::kColumn;
  const rt::LockHolder holder(&column_grow_lock_);
  if (!holder.held()) return false;
  if (column_generation_.load(std::memory_order_acquire) != generation) return true;
  const uint32_t wanted = (2u << (generation + 1)) - 1;
  if (recording_->ChunksLeft() < wanted - recording_->ChunkCount(kKind)) return false;
  while (recording_->ChunkCount(kKind) < wanted) {
    if (recording_->AddChunk(kKind) < 0) return false;
  }
  column_generation_.store(generation + 1, std::memory_order_release);
  return true;
}

ColumnCell* SiteTable::ColumnAt(uint32_t generation, uint32_t hash) const {
  const uint32_t index = hash & ((format::kColumnsPerChunk << generation) - 1);
  return recording_->At<ColumnCell, format::ChunkKind::kColumn>(((1u << generation) - 1) * format::kColumnsPerChunk +
                                                                index);
}

// The cell of `key`, made if need be; nullptr if there is no room.
ColumnCell* SiteTable::ClaimColumn(uint64_t key) {
  for (;;) {
    const uint32_t generation = column_generation_.load(std::memory_order_acquire);
    const auto hash = static_cast<uint32_t>(rt::Mix(key));
    for (uint32_t probe = 0; probe < kProbes; ++probe) {
      ColumnCell* cell = ColumnAt(generation, hash + probe);
      uint64_t found = Load(cell->key);
      if (found == key) return cell;
      if (found != 0) continue;
      if (Atomic(cell->key).compare_exchange_strong(found, key, std::memory_order_relaxed) || found == key) return cell;
    }
    if (!NextGeneration(generation)) return nullptr;
  }
}

}  // namespace memtrace::core
