#include "tools/evidence/unpack.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace memtrace::tools {
namespace {

constexpr size_t kBlock = size_t{64} << 10;
constexpr std::string_view kGzipMagic = "\x1f\x8b";

// A source with a part that was read ahead.
class Ahead {
 public:
  explicit Ahead(ByteSource source) : source_(std::move(source)) {}

  // At least `size` bytes of what comes next, unless it ends before.
  std::string_view Peek(size_t size) {
    while (held_.size() - begin_ < size && More()) {
    }
    return std::string_view(held_).substr(begin_);
  }
  void Drop(size_t size) { begin_ += size; }
  size_t Read(std::span<char> to) {
    const size_t count = std::string_view(held_).substr(begin_).copy(to.data(), to.size());
    begin_ += count;
    return count > 0 ? count : source_(to);
  }

 private:
  bool More() {
    held_.erase(0, std::exchange(begin_, 0));
    const size_t held = held_.size();
    held_.resize(held + kBlock);
    const size_t count = source_(std::span(held_.data() + held, kBlock));
    held_.resize(held + count);
    return count > 0;
  }

  ByteSource source_;
  std::string held_;
  size_t begin_ = 0;
};

// Members follow each other where logs were appended (RFC 1952, 2.2).
class Gunzip {
 public:
  explicit Gunzip(ByteSource source, std::shared_ptr<bool> damaged)
      : in_(std::move(source)), damaged_(std::move(damaged)) {
    packed_ = in_.Peek(kGzipMagic.size()).starts_with(kGzipMagic);
    constexpr int kGzipWindow = 15 + 16;  // zlib.h: 16 asks for gzip's header
    if (packed_ && inflateInit2(&stream_, kGzipWindow) != Z_OK) Stop(true);
  }
  ~Gunzip() { inflateEnd(&stream_); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  size_t Read(std::span<char> to) {
    if (!packed_) return in_.Read(to);
    stream_.next_out = reinterpret_cast<Bytef*>(to.data());
    stream_.avail_out = static_cast<uInt>(std::min(to.size(), size_t{1} << 30));
    const uInt room = stream_.avail_out;
    while (!ended_ && stream_.avail_out == room) Step();
    return room - stream_.avail_out;
  }

 private:
  void Step() {
    const std::string_view input = in_.Peek(1);
    if (input.empty()) return Stop(true);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));  // zlib does not write there
    stream_.avail_in = static_cast<uInt>(std::min(input.size(), kBlock));
    const uInt offered = stream_.avail_in;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    in_.Drop(offered - stream_.avail_in);
    if (status == Z_STREAM_END) {
      if (!in_.Peek(kGzipMagic.size()).starts_with(kGzipMagic)) return Stop(false);
      inflateReset(&stream_);
    } else if (status != Z_OK) {
      Stop(true);
    }
  }
  void Stop(bool damaged) {
    ended_ = true;
    *damaged_ = *damaged_ || damaged;
  }

  Ahead in_;
  std::shared_ptr<bool> damaged_;
  z_stream stream_{};
  bool packed_ = false;
  bool ended_ = false;
};

constexpr std::string_view kLittleMark = "\xff\xfe";
constexpr std::string_view kBigMark = "\xfe\xff";
enum class Utf16 { kNo, kLittle, kBig };

// By its mark, else by zeroes in every other byte: logs are mostly ASCII.
Utf16 Utf16Of(std::string_view head) {
  if (head.starts_with(kLittleMark)) return Utf16::kLittle;
  if (head.starts_with(kBigMark)) return Utf16::kBig;
  constexpr size_t kLeast = 16;
  if (head.size() < kLeast) return Utf16::kNo;
  size_t zeroes[2] = {0, 0};
  for (size_t i = 0; i < head.size(); ++i) zeroes[i % 2] += head[i] == '\0' ? 1 : 0;
  const size_t most = head.size() / 2 / 10 * 9;
  if (zeroes[1] > most && zeroes[0] == 0) return Utf16::kLittle;
  return zeroes[0] > most && zeroes[1] == 0 ? Utf16::kBig : Utf16::kNo;
}

void AppendUtf8(uint32_t code, std::string* text) {
  const auto tail = [&](unsigned shift) { *text += static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    *text += static_cast<char>(code);
  } else if (code < 0x800) {
    *text += static_cast<char>(0xc0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    *text += static_cast<char>(0xe0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    *text += static_cast<char>(0xf0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

class Utf16Decoder {
 public:
  explicit Utf16Decoder(ByteSource source) : in_(std::move(source)) {
    constexpr size_t kEnough = 512;
    const std::string_view head = in_.Peek(kEnough);
    form_ = Utf16Of(head.substr(0, kEnough));
    if (head.starts_with(kLittleMark) || head.starts_with(kBigMark)) in_.Drop(kLittleMark.size());
  }

  size_t Read(std::span<char> to) {
    if (form_ == Utf16::kNo) return in_.Read(to);
    while (text_.size() == given_ && Decode()) {
    }
    const size_t count = std::string_view(text_).substr(given_).copy(to.data(), to.size());
    given_ += count;
    return count;
  }

 private:
  bool Decode() {
    text_.clear();
    given_ = 0;
    const std::string_view input = in_.Peek(2).substr(0, kBlock);
    if (input.size() < 2) return false;
    for (size_t i = 0; i + 1 < input.size(); i += 2) Take(UnitAt(input, i));
    in_.Drop(input.size() / 2 * 2);
    return true;
  }
  uint32_t UnitAt(std::string_view input, size_t at) const {
    const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(input[i])); };
    return form_ == Utf16::kLittle ? byte(at) | byte(at + 1) << 8 : byte(at) << 8 | byte(at + 1);
  }
  void Take(uint32_t unit) {
    constexpr uint32_t kReplacement = 0xfffd;
    const uint32_t high = std::exchange(high_, 0);
    const bool is_low = unit >= 0xdc00 && unit < 0xe000;
    if (high != 0) AppendUtf8(is_low ? 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00) : kReplacement, &text_);
    if (unit >= 0xd800 && unit < 0xdc00) {
      high_ = unit;
    } else if (!is_low) {
      AppendUtf8(unit, &text_);
    } else if (high == 0) {
      AppendUtf8(kReplacement, &text_);
    }
  }

  Ahead in_;
  Utf16 form_ = Utf16::kNo;
  uint32_t high_ = 0;  // the first half of a pair
  std::string text_;
  size_t given_ = 0;
};

}  // namespace

Unpacked Unpack(ByteSource source) {
  auto damaged = std::make_shared<bool>(false);
  const auto gunzip = std::make_shared<Gunzip>(std::move(source), damaged);
  const auto decoder = std::make_shared<Utf16Decoder>([gunzip](std::span<char> to) { return gunzip->Read(to); });
  return {[decoder](std::span<char> to) { return decoder->Read(to); }, std::move(damaged)};
}

bool IsPackedText(std::string_view head) { return head.starts_with(kGzipMagic) || Utf16Of(head) != Utf16::kNo; }

}  // namespace memtrace::tools
