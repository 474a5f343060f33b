// The reader of recordings. The input is a list of changes to a whole small recording, so that a few bytes reach every
// table: each takes 8 bytes, a place (3 bytes, among those in use if the top bit is set) and how it is overwritten. An
// input that begins with 'R' is a file as it stands.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/unit/tools/recording_builder.h"
#include "tools/reader/decode.h"

namespace {

using memtrace::format::BlobKind;
using memtrace::tools::RecordingBuilder;

std::vector<std::byte> Whole() {
  RecordingBuilder builder;
  builder.AddModule("/usr/bin/program", "\x12\x34");
  builder.AddModule("/usr/lib/libother.so");
  const uint32_t first = builder.AddStack({0x1000, 0x1100, 0x1200});
  const uint32_t second = builder.AddStack({0x2000, 0x2100}, 1);
  for (uint64_t i = 0; i < 20; ++i) builder.Allocate(0x10000 + i * 4096, 3000, i % 3 != 0 ? first : second);
  builder.AllocateAndFree(100, 20, first, 5000);
  builder.AddOverflow(0x900000, 10, second);
  builder.AddBlob(BlobKind::kProcFile, "maps", "10000-200000 rw-p 00000000 00:00 0 [heap]\n");
  builder.AddBlob(BlobKind::kCgroupFile, "memory.max", "100000000\n");
  memtrace::format::TimelinePoint point{};
  point.time_ns = RecordingBuilder::kStartNs + 1000;
  point.work_bytes = 100000;
  builder.AddTimeline(point);
  builder.thread().deferred = {{0x10000, memtrace::format::kUnknown, 0, 0}};
  return builder.Build();
}

struct Base {
  std::vector<std::byte> bytes = Whole();
  std::vector<size_t> used;
  Base() {
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (bytes[i] != std::byte{0}) used.push_back(i);
    }
  }
};

void Change(const Base& base, const uint8_t* change, std::vector<std::byte>* bytes) {
  const uint32_t place = change[0] | change[1] << 8 | (change[2] & 0x7f) << 16;
  const bool among_used = (change[2] & 0x80) != 0;
  const size_t at = among_used ? base.used[place % base.used.size()] : place % base.bytes.size();
  if (change[3] == 0xff) {
    bytes->resize(std::min(at, bytes->size()));
    return;
  }
  const size_t count = change[3] % 4 + 1;
  for (size_t i = 0; i < count && at + i < bytes->size(); ++i) (*bytes)[at + i] = static_cast<std::byte>(change[4 + i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Base base;
  std::vector<std::byte> bytes;
  if (size > 0 && data[0] == 'R') {
    bytes.resize(size - 1);
    if (size > 1) memcpy(bytes.data(), data + 1, size - 1);
  } else {
    bytes = base.bytes;
    for (size_t i = 0; i + 8 <= size; i += 8) Change(base, data + i, &bytes);
  }
  const size_t file_bytes = bytes.size();
  const auto profile = memtrace::tools::Decode(memtrace::tools::RecordingFile("fuzzed", std::move(bytes)));
  if (profile.ok() && profile.value().nodes.size() > file_bytes) abort();
  return 0;
}
