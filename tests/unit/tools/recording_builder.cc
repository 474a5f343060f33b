#include "tests/unit/tools/recording_builder.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "tools/reader/decode.h"

namespace memtrace::tools {
namespace {

using format::ChunkKind;
using format::kChunkBytes;

class Image {
 public:
  explicit Image(uint64_t front_bytes) : bytes_(front_bytes) {}

  void Put(uint64_t offset, const void* data, size_t size) { std::memcpy(bytes_.data() + offset, data, size); }

  // Adds chunks with as many records as fit into each.
  void AddRecords(ChunkKind kind, const void* data, size_t record_bytes, size_t count) {
    const size_t per_chunk = kChunkBytes / record_bytes;
    uint32_t ordinal = 0;
    for (size_t first = 0; first < count; first += per_chunk) {
      const uint64_t chunk = bytes_.size();
      bytes_.resize(chunk + kChunkBytes);
      Put(chunk, static_cast<const std::byte*>(data) + first * record_bytes,
          std::min(per_chunk, count - first) * record_bytes);
      directory_.push_back(format::ChunkEntry(kind, ordinal++));
    }
  }
  template <typename Record>
  void Add(ChunkKind kind, const std::vector<Record>& records) {
    AddRecords(kind, records.data(), sizeof(Record), records.size());
  }
  const std::vector<uint32_t>& directory() const { return directory_; }
  std::vector<std::byte> Take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
  std::vector<uint32_t> directory_;
};

std::vector<std::byte> ThreadBytes(const RecordingBuilder::Thread& thread, const format::Header& header) {
  std::vector<std::byte> bytes(header.thread_buffer_bytes);
  format::ThreadBuffer buffer = thread.buffer;
  buffer.deferred_count = static_cast<uint32_t>(thread.deferred.size());
  size_t offset = 0;
  const auto put = [&](const void* data, size_t used, size_t reserved) {
    if (used > 0) std::memcpy(bytes.data() + offset, data, used);
    offset += reserved;
  };
  put(&buffer, sizeof(buffer), sizeof(buffer));
  put(thread.deferred.data(), thread.deferred.size() * sizeof(format::DeferredEvent), 0);
  return bytes;
}

void AddBlock(std::vector<format::LiveBucket>* buckets, uint64_t key, uint64_t size, uint32_t node, uint64_t birth) {
  if (buckets->empty() || buckets->back().keys[2] != 0) buckets->emplace_back();
  format::LiveBucket& bucket = buckets->back();
  const size_t slot = bucket.keys[0] == 0 ? 0 : bucket.keys[1] == 0 ? 1 : 2;
  bucket.keys[slot] = key;
  bucket.sizes[slot] = static_cast<uint32_t>(size);
  bucket.nodes[slot] = node;
  bucket.births[slot] = format::EncodeBirth(birth);
}

}  // namespace

RecordingBuilder::RecordingBuilder() : nodes_(1) {
  std::memcpy(header_.magic, format::kMagic, sizeof(header_.magic));
  header_.version = format::kVersion;
  header_.header_bytes = sizeof(format::Header);
  header_.chunk_bytes = kChunkBytes;
  header_.max_chunks = 128;
  header_.timeline_capacity = 64;
  header_.timeline_offset = 4096;
  header_.directory_offset = 4096 + 64 * sizeof(format::TimelinePoint);
  header_.front_bytes = kChunkBytes;
  header_.thread_buffer_bytes = format::kThreadBufferBytes;
  header_.page_bytes = 4096;
  header_.pid = 4242;
  header_.process_start_ticks = 987654321987654321;
  header_.start_ns = kStartNs;
  header_.process_start_ns = kStartNs;
  header_.state = static_cast<uint32_t>(format::State::kRunning);
  header_.sampling = static_cast<uint32_t>(format::Sampling::kExact);
  header_.origin = static_cast<uint32_t>(format::Origin::kStart);
  header_.libc = static_cast<uint32_t>(format::Libc::kGlibc);
  header_.rates[0].bytes = 1;
  header_.cgroup_limit_bytes = format::kUnknown;
  header_.peak_epoch = 1;
  AddThread();
}

RecordingBuilder::Thread& RecordingBuilder::AddThread() {
  threads_.emplace_back();
  threads_.back().buffer.owner_tid = static_cast<uint32_t>(4242 + threads_.size());
  return threads_.back();
}

uint16_t RecordingBuilder::AddModule(const std::string& path, const std::string& raw_build_id, uint64_t bias) {
  format::Module module{};
  module.bias = bias;
  module.start = bias;
  module.end = bias + 0x100000;
  module.build_id_bytes = static_cast<uint32_t>(raw_build_id.size());
  std::memcpy(module.build_id, raw_build_id.data(), raw_build_id.size());
  module.path_bytes = static_cast<uint32_t>(path.size());
  std::memcpy(module.path, path.data(), path.size());
  modules_.push_back(module);
  return static_cast<uint16_t>(modules_.size() - 1);
}

uint32_t RecordingBuilder::AddNode(const format::Node& node) {
  nodes_.push_back(node);
  return static_cast<uint32_t>(nodes_.size() - 1);
}

uint32_t RecordingBuilder::AddStack(std::initializer_list<uint64_t> offsets, uint16_t module) {
  uint32_t parent = 0;
  for (const uint64_t offset : offsets) {
    const uint64_t pc = modules_[module].bias + offset;
    parent = AddNode({pc | uint64_t{module} << 48, parent, static_cast<uint16_t>(nodes_[parent].depth + 1), 0});
  }
  return parent;
}

void RecordingBuilder::AddLive(uint64_t address, uint64_t size, uint32_t node, uint64_t birth, uint32_t rate_index) {
  AddBlock(&live_, format::LiveKey(address, rate_index, size), size, node, birth);
}

void RecordingBuilder::MarkLost(uint64_t address) {
  for (format::LiveBucket& bucket : live_) {
    for (int slot = 0; slot < 3; ++slot) {
      if (format::KeyAddress(bucket.keys[slot]) == address) bucket.meta |= 1u << (format::kBucketLostShift + slot);
    }
  }
}

void RecordingBuilder::AddOverflow(uint64_t address, uint64_t size, uint32_t node, uint64_t birth) {
  AddBlock(&overflow_, format::LiveKey(address, 0, size), size, node, birth);
}

void RecordingBuilder::AddBlob(format::BlobKind kind, const std::string& name, const std::string& content) {
  const format::BlobHeader header{static_cast<uint32_t>(kind), static_cast<uint32_t>(name.size()), content.size()};
  const size_t end = blobs_.size() + format::BlobBytes(name.size(), content.size());
  blobs_.append(reinterpret_cast<const char*>(&header), sizeof(header)).append(name).append(content);
  blobs_.resize(end);
}

format::SiteCell& RecordingBuilder::ThreadSite(uint32_t node) {
  for (format::SiteCell& cell : sites_) {
    if (cell.node == node) return cell;
  }
  format::SiteCell cell{};
  cell.node = node;
  return sites_.emplace_back(cell);
}

void RecordingBuilder::Allocate(uint64_t address, uint64_t size, uint32_t node) {
  AddLive(address, size, node, header_.work_bytes);
  format::ThreadBuffer& buffer = threads_[0].buffer;
  buffer.alloc_count_q16 += format::kCountOne;
  buffer.alloc_bytes += size;
  format::SiteCell& site = ThreadSite(node);
  site.alloc_count_q16 += format::kCountOne;
  site.alloc_bytes += size;
  AddColumn(node, format::WorkColumn(header_.work_bytes), size);
  header_.work_bytes += size;
  header_.live_bytes += size;
  header_.live_count_q16 += format::kCountOne;
  header_.peak_live_bytes = std::max(header_.peak_live_bytes, header_.live_bytes);
  header_.peak_live_count_q16 = std::max(header_.peak_live_count_q16, header_.live_count_q16);
}

void RecordingBuilder::AllocateAndFree(uint64_t size, uint64_t count, uint32_t node, uint64_t age) {
  format::ThreadBuffer& buffer = threads_[0].buffer;
  format::SiteCell& site = ThreadSite(node);
  buffer.alloc_count_q16 += count * format::kCountOne;
  buffer.free_count_q16 += count * format::kCountOne;
  buffer.alloc_bytes += size * count;
  buffer.free_bytes += size * count;
  site.alloc_count_q16 += count * format::kCountOne;
  site.free_count_q16 += count * format::kCountOne;
  site.alloc_bytes += size * count;
  site.free_bytes += size * count;
  for (uint64_t i = 0; i < count; ++i) {
    AddColumn(node, format::WorkColumn(header_.work_bytes), size);
    header_.work_bytes += size;
  }
  AddColumn(node, format::AgeColumn(age), size * count);
}

std::vector<std::byte> RecordingBuilder::Build() const {
  format::Header header = header_;
  Image image(header.front_bytes);
  image.Add(ChunkKind::kNode, nodes_);
  image.Add(ChunkKind::kModule, modules_);
  image.Add(ChunkKind::kLive, live_);
  image.Add(ChunkKind::kOverflow, overflow_);
  image.Add(ChunkKind::kSite, sites_);
  image.Add(ChunkKind::kColumn, columns_);
  std::vector<std::byte> threads;
  for (const Thread& thread : threads_) {
    const std::vector<std::byte> bytes = ThreadBytes(thread, header);
    threads.insert(threads.end(), bytes.begin(), bytes.end());
  }
  image.AddRecords(ChunkKind::kThread, threads.data(), header.thread_buffer_bytes, threads_.size());
  image.AddRecords(ChunkKind::kBlob, blobs_.data(), 1, blobs_.size());
  header.chunk_count = static_cast<uint32_t>(image.directory().size());
  header.node_count = static_cast<uint32_t>(nodes_.size());
  header.module_count = static_cast<uint32_t>(modules_.size());
  header.live_buckets = static_cast<uint32_t>(live_.size());
  header.overflow_buckets = static_cast<uint32_t>(overflow_.size());
  header.thread_count = static_cast<uint32_t>(threads_.size());
  header.blob_bytes = blobs_.size();
  image.Put(0, &header, sizeof(header));
  if (!timeline_.empty()) image.Put(header.timeline_offset, timeline_.data(), timeline_.size() * sizeof(timeline_[0]));
  image.Put(header.directory_offset, image.directory().data(), image.directory().size() * sizeof(uint32_t));
  return image.Take();
}

Profile RecordingBuilder::Decode() const {
  Result<Profile> profile = tools::Decode(RecordingFile("test.rec", Build()));
  if (!profile.ok()) throw std::runtime_error(profile.error().Text());
  return std::move(profile).value();
}

}  // namespace memtrace::tools
