#include "libmemtrace/core/blob_stream.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "tests/unit/rt/recorded_tree.h"

namespace memtrace::core {
namespace {

using format::BlobHeader;
using format::BlobKind;
using format::kChunkBytes;
using BlobList = std::vector<std::tuple<uint32_t, std::string, std::string>>;

// Takes chunks as a file does, as many as it has room for.
struct Sink {
  std::string content;
  size_t room = 1000;
  static bool Flush(void* self, const uint8_t* chunk) {
    auto* sink = static_cast<Sink*>(self);
    if (sink->room == 0) return false;
    --sink->room;
    sink->content.append(reinterpret_cast<const char*>(chunk), kChunkBytes);
    return true;
  }
};

BlobList Parse(const std::string& stream, uint64_t bytes) {
  BlobList blobs;
  for (size_t at = 0; at + sizeof(BlobHeader) <= bytes;) {
    BlobHeader header;
    memcpy(&header, stream.data() + at, sizeof(header));
    blobs.emplace_back(header.kind, stream.substr(at + sizeof(header), header.name_bytes),
                       stream.substr(at + sizeof(header) + header.name_bytes, header.content_bytes));
    at += format::BlobBytes(header.name_bytes, header.content_bytes);
  }
  return blobs;
}

class BlobStreamTest : public ::testing::Test {
 protected:
  Sink sink_;
  std::vector<uint8_t> chunk_ = std::vector<uint8_t>(kChunkBytes, 0xee);
  BlobStream stream_{chunk_.data(), 0, 0, &Sink::Flush, &sink_};
};

TEST_F(BlobStreamTest, BlobsOfEveryLengthComeBack) {
  BlobList expected;
  for (size_t length = 0; length < 40; ++length) {
    const std::string content(length, static_cast<char>('a' + length % 26));
    const std::string name(length % 5, 'n');
    stream_.Add(BlobKind::kProcFile, rt::Text(name.data(), name.size()), rt::Text(content.data(), content.size()));
    expected.emplace_back(static_cast<uint32_t>(BlobKind::kProcFile), name, content);
    EXPECT_EQ(stream_.stream_bytes() % 8, 0u);
  }
  stream_.Finish();
  EXPECT_TRUE(stream_.ok());
  EXPECT_EQ(sink_.content.size(), kChunkBytes);
  EXPECT_EQ(Parse(sink_.content, stream_.stream_bytes()), expected);
  EXPECT_EQ(sink_.content.find_first_not_of('\0', stream_.stream_bytes()), std::string::npos);
}

TEST_F(BlobStreamTest, BlobsRunOverChunks) {
  const std::string content(3 * kChunkBytes - 24, 'x');
  stream_.Add(BlobKind::kCommand, "", rt::Text(content.data(), content.size()));
  stream_.Add(BlobKind::kHostname, "", "host");
  EXPECT_EQ(sink_.content.size(), 3 * kChunkBytes);
  stream_.Finish();
  EXPECT_EQ(sink_.content.size(), 4 * kChunkBytes);
  const BlobList blobs = Parse(sink_.content, stream_.stream_bytes());
  ASSERT_EQ(blobs.size(), 2u);
  EXPECT_EQ(std::get<2>(blobs[0]), content);
  EXPECT_EQ(std::get<2>(blobs[1]), "host");
}

TEST_F(BlobStreamTest, FullChunkLeavesNothingToFinish) {
  const std::string content(kChunkBytes - sizeof(BlobHeader), 'x');
  stream_.Add(BlobKind::kCommand, "", rt::Text(content.data(), content.size()));
  stream_.Finish();
  EXPECT_EQ(sink_.content.size(), kChunkBytes);
}

TEST_F(BlobStreamTest, FilesComeInPieces) {
  RecordedTree tree;
  std::string content;
  for (int i = 0; i < 5000; ++i) content += std::to_string(i) + "\n";
  tree.Write("/maps", content).Write("/empty", "");
  std::vector<char> buffer(4096);
  stream_.AddFile(BlobKind::kProcFile, "maps", tree.In("/maps").c_str(), buffer.data(), buffer.size());
  stream_.AddFile(BlobKind::kProcFile, "empty", tree.In("/empty").c_str(), buffer.data(), buffer.size());
  stream_.AddFile(BlobKind::kProcFile, "none", tree.In("/none").c_str(), buffer.data(), buffer.size());
  stream_.Finish();
  std::string joined;
  for (const auto& [kind, name, part] : Parse(sink_.content, stream_.stream_bytes())) {
    EXPECT_EQ(name, "maps");
    joined += part;
  }
  EXPECT_EQ(joined, content);
}

TEST_F(BlobStreamTest, StopsWhenChunksCannotBeTakenAway) {
  sink_.room = 1;
  const std::string content(4 * kChunkBytes, 'x');
  stream_.Add(BlobKind::kCommand, "", rt::Text(content.data(), content.size()));
  EXPECT_FALSE(stream_.ok());
  const uint64_t bytes = stream_.stream_bytes();
  stream_.Add(BlobKind::kHostname, "", "host");
  stream_.Finish();
  EXPECT_EQ(stream_.stream_bytes(), bytes);
  EXPECT_EQ(sink_.content.size(), kChunkBytes);
}

TEST_F(BlobStreamTest, GoesOnBehindAnExistingStream) {
  stream_.Add(BlobKind::kHostname, "", "first");
  const uint64_t length = stream_.stream_bytes();
  BlobStream second(chunk_.data(), length, length, &Sink::Flush, &sink_);
  second.Add(BlobKind::kCgroupVersion, "", "2");
  second.Finish();
  EXPECT_EQ(Parse(sink_.content, second.stream_bytes()).size(), 2u);
}

}  // namespace
}  // namespace memtrace::core
