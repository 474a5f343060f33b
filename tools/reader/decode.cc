#include "tools/reader/decode.h"

#include <algorithm>
#include <cstring>

#include "libmemtrace/format/weight.h"
#include "tools/common/quantity.h"
#include "tools/reader/jemalloc_profile.h"

namespace memtrace::tools {

namespace {

using format::ChunkKind;

// Long contents come in pieces, see blob.h.
void AddBlob(Blob blob, std::vector<Blob>* blobs) {
  const bool continues = !blobs->empty() && blobs->back().kind == blob.kind && blobs->back().name == blob.name;
  if (continues) {
    blobs->back().content += blob.content;
  } else {
    blobs->push_back(std::move(blob));
  }
}

}  // namespace

Result<Profile> Decode(const RecordingFile& file) {
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (IsJemallocProfile(text)) return DecodeJemallocProfile(file.name(), text);
  Profile profile;
  profile.file_name = file.name();
  Result<Layout> parsed = Layout::Parse(file, &profile.losses);
  if (!parsed.ok()) return parsed.error();
  const Layout& layout = parsed.value();
  profile.header = layout.header();
  for (format::Rate& rate : profile.header.rates) {
    if (rate.bytes <= format::kMostRateBytes) continue;
    profile.losses.Add("sampling intervals");
    rate.bytes = format::kMostRateBytes;
  }
  profile.timeline = layout.Timeline();
  std::vector<format::DeferredEvent> deferred;
  DecodeModules(layout, &profile);
  DecodeNodes(layout, &profile);
  DecodeBlobs(layout, &profile);
  DecodeCounters(layout, &profile, &deferred);
  DecodeLive(layout, deferred, &profile);
  return profile;
}

void DecodeModules(const Layout& layout, Profile* profile) {
  const auto decode = [profile](uint64_t index, const format::Module& record) {
    Module module;
    module.start = record.start;
    module.end = record.end;
    module.bias = record.bias;
    if (record.build_id_bytes > sizeof(record.build_id) || record.path_bytes > sizeof(record.path)) {
      profile->losses.Add("names of modules");
    } else {
      module.path.assign(record.path, strnlen(record.path, record.path_bytes));
      module.build_id = FormatHex({reinterpret_cast<const char*>(record.build_id), record.build_id_bytes});
    }
    // A chunk that is missing leaves a hole, and later modules keep their indices.
    profile->modules.resize(index);
    profile->modules.push_back(std::move(module));
  };
  const uint64_t count = std::min<uint64_t>(layout.header().module_count, format::kNoModule);
  profile->losses.Add("modules", layout.Visit<format::Module>(ChunkKind::kModule, count, decode));
}

void DecodeNodes(const Layout& layout, Profile* profile) {
  std::vector<StackNode>& nodes = profile->nodes;
  const auto decode = [profile, &nodes](uint64_t index, const format::Node& record) {
    nodes.resize(index);
    StackNode node{format::NodePc(record), record.parent, format::NodeModule(record), record.flags};
    if (index == 0) node = {};
    if (index > 0 && node.parent >= index) {
      profile->losses.Add("callers of stack frames");
      node.parent = 0;
      node.flags |= format::kNodeTruncated;
    }
    if (node.module != format::kNoModule && node.module >= profile->modules.size()) {
      profile->losses.Add("modules of stack frames");
      node.module = format::kNoModule;
    }
    nodes.push_back(node);
  };
  profile->losses.Add("stack frames", layout.Visit<format::Node>(ChunkKind::kNode, layout.header().node_count, decode));
  if (nodes.empty()) nodes.emplace_back();
}

void DecodeBlobs(const Layout& layout, Profile* profile) {
  std::string stream;
  for (const std::span<const std::byte> chunk : layout.Chunks(ChunkKind::kBlob)) {
    stream.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    if (chunk.size() < format::kChunkBytes) break;  // what follows a hole has lost its frame
  }
  const uint64_t claimed = layout.header().blob_bytes;
  profile->losses.Add("bytes of process facts", Excess(claimed, stream.size()));
  stream.resize(std::min<uint64_t>(claimed, stream.size()));
  size_t offset = 0;
  while (stream.size() - offset >= sizeof(format::BlobHeader)) {
    format::BlobHeader header;
    std::memcpy(&header, stream.data() + offset, sizeof(header));
    const size_t room = stream.size() - offset - sizeof(header);
    if (header.kind == 0 || header.name_bytes > room || header.content_bytes > room - header.name_bytes) {
      profile->losses.Add("bytes of process facts", stream.size() - offset);
      return;
    }
    const size_t name = offset + sizeof(header);
    AddBlob({static_cast<format::BlobKind>(header.kind), stream.substr(name, header.name_bytes),
             stream.substr(name + header.name_bytes, header.content_bytes)},
            &profile->blobs);
    offset += std::min<size_t>(format::BlobBytes(header.name_bytes, header.content_bytes), stream.size() - offset);
  }
}

}  // namespace memtrace::tools
