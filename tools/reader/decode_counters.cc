// Cells of sites and columns, and the thread buffers, added up.
#include <algorithm>
#include <cstring>
#include <span>

#include "tools/reader/decode.h"

namespace memtrace::tools {
namespace {

using format::ChunkKind;

// Gathers cells per node. Sums wrap like the cells do and are clamped when all are in.
class CounterSums {
 public:
  explicit CounterSums(Profile* profile) : profile_(*profile), site_of_node_(profile->nodes.size(), 0) {}

  void AddSite(const format::SiteCell& cell) {
    if (cell.node == 0) return;
    SiteCounts& site = profile_.sites[SiteOf(cell.node)];
    site.alloc_count_q16 += cell.alloc_count_q16;
    site.alloc_bytes += cell.alloc_bytes;
    site.free_count_q16 += cell.free_count_q16;
    site.free_bytes += cell.free_bytes;
    site.temporary_count_q16 += cell.temporary_count_q16;
    const bool stamped = cell.peak_epoch == profile_.header.peak_epoch;
    site.peak_bytes += stamped ? cell.peak_bytes : cell.alloc_bytes - cell.free_bytes;
    uint32_t last_column = 0;
    for (const uint32_t column : cell.columns) {
      if (column == 0) continue;
      AddColumn(cell.node, column >> format::kColumnShift, column & format::kColumnBytesMask);
      last_column = std::max(last_column, (column >> format::kColumnShift) - 1);
    }
    // A cell that does not say when it last allocated may just have done so.
    if (last_column < format::kOctaves && cell.alloc_bytes > 0) last_column = format::kHeldColumns - 1;
    if (last_column >= format::kOctaves && last_column < format::kHeldColumns) {
      held_.push_back(
          {SiteOf(cell.node), static_cast<int>(last_column) - format::kOctaves, cell.alloc_bytes - cell.free_bytes});
    }
  }

  // `number` is column + 1.
  void AddColumn(uint32_t node, uint64_t number, uint64_t bytes) {
    if (number == 0 || number > format::kColumns) {
      profile_.losses.Add("columns of sites");
      return;
    }
    if (number > format::kHeldColumns) {
      held_before_.push_back({SiteOf(node), static_cast<int>(number) - 1 - format::kHeldColumns, bytes});
      return;
    }
    profile_.columns.push_back({SiteOf(node), static_cast<uint32_t>(number - 1), bytes});
  }

  // Leaves sites in the order of their nodes, and one entry per column.
  void Finish() {
    AddGrowth();
    std::vector<uint32_t> order(profile_.sites.size());
    for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [this](uint32_t a, uint32_t b) { return profile_.sites[a].node < profile_.sites[b].node; });
    std::vector<SiteCounts> sorted;
    sorted.reserve(order.size());
    std::vector<uint32_t> rank(order.size());
    for (const uint32_t old : order) {
      rank[old] = static_cast<uint32_t>(sorted.size());
      sorted.push_back(Clamped(profile_.sites[old]));
    }
    profile_.sites = std::move(sorted);
    for (SiteColumn& column : profile_.columns) column.site = rank[column.site];
    MergeColumns();
  }

 private:
  // What the cells of a site hold that last allocated in an octave of work; or held before they first did.
  struct Held {
    uint32_t site;
    int octave;
    uint64_t bytes;  // wraps
  };

  void AddGrowth() {
    const int present = format::WorkColumn(profile_.work_bytes) - format::kOctaves;
    for (int i = 0; i < 2; ++i) {
      for (const Held& cell : held_) {
        if (cell.octave >= present - i) profile_.sites[cell.site].grown_bytes[i] += static_cast<int64_t>(cell.bytes);
      }
      for (const Held& before : held_before_) {
        if (before.octave == present - i)
          profile_.sites[before.site].grown_bytes[i] -= static_cast<int64_t>(before.bytes);
      }
    }
  }

  static SiteCounts Clamped(SiteCounts site) {
    for (uint64_t* sum : {&site.alloc_count_q16, &site.alloc_bytes, &site.free_count_q16, &site.free_bytes,
                          &site.temporary_count_q16, &site.peak_bytes}) {
      *sum = ClampWrapped(*sum);
    }
    return site;
  }

  uint32_t SiteOf(uint32_t node) {
    if (node == format::kUnknownSite) node = 0;
    if (node >= site_of_node_.size()) {
      profile_.losses.Add("stacks of site counters");
      node = 0;
    }
    uint32_t& site = site_of_node_[node];
    if (site == 0) {
      profile_.sites.push_back({.node = node});
      site = static_cast<uint32_t>(profile_.sites.size());
    }
    return site - 1;
  }

  void MergeColumns() {
    std::vector<SiteColumn>& columns = profile_.columns;
    std::sort(columns.begin(), columns.end(), [](const SiteColumn& a, const SiteColumn& b) {
      return a.site != b.site ? a.site < b.site : a.column < b.column;
    });
    size_t kept = 0;
    for (size_t i = 0; i < columns.size();) {
      SiteColumn sum = columns[i++];
      while (i < columns.size() && columns[i].site == sum.site && columns[i].column == sum.column) {
        sum.bytes += columns[i++].bytes;
      }
      sum.bytes = ClampWrapped(sum.bytes);
      if (sum.bytes > 0) columns[kept++] = sum;
    }
    columns.resize(kept);
  }

  Profile& profile_;
  std::vector<uint32_t> site_of_node_;  // index + 1, 0: none yet
  std::vector<Held> held_;
  std::vector<Held> held_before_;
};

template <typename Record>
Record Load(std::span<const std::byte> buffer, uint64_t offset) {
  Record record;
  std::memcpy(&record, buffer.data() + offset, sizeof(record));
  return record;
}

// Sums over threads that become totals; all wrap.
struct ThreadSums {
  uint64_t alloc_count_q16 = 0;
  uint64_t free_count_q16 = 0;
  uint64_t temporary_count_q16 = 0;
  uint64_t pending_work_bytes = 0;
  int64_t peak_bytes = 0;  // largest pending peak of one thread
  int64_t peak_count_q16 = 0;

  void Add(const format::ThreadBuffer& thread, Totals* totals) {
    alloc_count_q16 += thread.alloc_count_q16;
    free_count_q16 += thread.free_count_q16;
    temporary_count_q16 += thread.temporary_count_q16;
    pending_work_bytes += thread.pending_work_bytes;
    peak_bytes = std::max(peak_bytes, thread.pending_peak_bytes);
    peak_count_q16 = std::max(peak_count_q16, thread.pending_peak_count_q16);
    totals->allocated_bytes += thread.alloc_bytes;
    totals->freed_bytes += thread.free_bytes;
    totals->dropped_allocations += thread.dropped_allocations;
    totals->dropped_frees += thread.dropped_frees;
  }
};

uint64_t RoundedSum(uint64_t count_q16) { return format::RoundedCount(ClampWrapped(count_q16)); }

// The sum of the header and what a thread has on top of it, which may be negative.
uint64_t WithPending(uint64_t flushed, int64_t pending) {
  return ClampWrapped(flushed + static_cast<uint64_t>(pending));
}

void FinishTotals(const ThreadSums& sums, Profile* profile) {
  const format::Header& header = profile->header;
  Totals& totals = profile->totals;
  totals.allocations = RoundedSum(sums.alloc_count_q16);
  totals.frees = RoundedSum(sums.free_count_q16);
  totals.temporary_allocations = RoundedSum(sums.temporary_count_q16);
  totals.allocated_bytes = ClampWrapped(totals.allocated_bytes);
  totals.freed_bytes = ClampWrapped(totals.freed_bytes);
  totals.peak_live_bytes =
      std::max(ClampWrapped(header.peak_live_bytes), WithPending(header.live_bytes, sums.peak_bytes));
  totals.peak_live_allocations = RoundedSum(
      std::max(ClampWrapped(header.peak_live_count_q16), WithPending(header.live_count_q16, sums.peak_count_q16)));
  profile->work_bytes = ClampWrapped(header.work_bytes + sums.pending_work_bytes);
}

}  // namespace

void DecodeCounters(const Layout& layout, Profile* profile, std::vector<format::DeferredEvent>* deferred) {
  CounterSums counters(profile);
  layout.VisitAll<format::SiteCell>(ChunkKind::kSite, [&](uint64_t, const auto& cell) { counters.AddSite(cell); });
  layout.VisitAll<format::ColumnCell>(ChunkKind::kColumn, [&](uint64_t, const auto& cell) {
    if (cell.key != 0) counters.AddColumn(format::ColumnNode(cell.key), cell.key >> 32, cell.bytes);
  });

  const format::Header& header = layout.header();
  ThreadSums sums;
  const auto decode = [&](std::span<const std::byte> buffer) {
    const auto thread = Load<format::ThreadBuffer>(buffer, 0);
    sums.Add(thread, &profile->totals);
    for (uint64_t i = 0; i < std::min(thread.deferred_count, format::kDeferredEvents); ++i) {
      deferred->push_back(Load<format::DeferredEvent>(buffer, sizeof(thread) + i * sizeof(format::DeferredEvent)));
    }
  };

  uint64_t expected = header.thread_count;
  for (const std::span<const std::byte> chunk : layout.Chunks(ChunkKind::kThread)) {
    if (expected == 0) break;
    const uint64_t here = std::min<uint64_t>(expected, format::kChunkBytes / header.thread_buffer_bytes);
    const uint64_t whole = std::min<uint64_t>(here, chunk.size() / header.thread_buffer_bytes);
    for (uint64_t i = 0; i < whole; ++i)
      decode(chunk.subspan(i * header.thread_buffer_bytes, header.thread_buffer_bytes));
    profile->losses.Add("thread buffers", here - whole);
    expected -= here;
  }
  profile->losses.Add("thread buffers", expected);
  FinishTotals(sums, profile);
  counters.Finish();
}

}  // namespace memtrace::tools
