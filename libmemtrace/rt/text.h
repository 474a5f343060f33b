// Text without allocation: a view, parsing, and a bounded builder.
#ifndef MEMTRACE_RT_TEXT_H_
#define MEMTRACE_RT_TEXT_H_

#include <cstddef>
#include <cstdint>

namespace memtrace::rt {

constexpr size_t Length(const char* zero_terminated) {
  size_t n = 0;
  while (zero_terminated[n] != '\0') ++n;
  return n;
}

// A view of characters that somebody else owns; need not end with a NUL.
struct Text {
  const char* data = nullptr;
  size_t size = 0;

  constexpr Text() = default;
  constexpr Text(const char* begin, size_t length) : data(begin), size(length) {}
  constexpr Text(const char* zero_terminated)  // NOLINT(google-explicit-constructor): literals
      : data(zero_terminated), size(Length(zero_terminated)) {}

  constexpr bool empty() const { return size == 0; }
  constexpr char operator[](size_t i) const { return data[i]; }
  constexpr Text From(size_t begin) const {
    return begin < size ? Text(data + begin, size - begin) : Text(data + size, size_t{0});
  }
  constexpr Text First(size_t count) const { return {data, count < size ? count : size}; }
};

inline constexpr size_t kNotFound = ~size_t{0};

bool operator==(Text a, Text b);
bool StartsWith(Text text, Text prefix);
bool EndsWith(Text text, Text suffix);
bool EqualIgnoringCase(Text a, Text b);
// Index of the first / last `c`, or kNotFound.
size_t Find(Text text, char c);
size_t FindLast(Text text, char c);
Text Trim(Text text);
// The part before the first `separator`, which is consumed with it; all of `rest` if none.
Text NextPart(Text* rest, char separator);
// The next word between spaces and tabs.
Text NextWord(Text* rest);
// The whole text is a number: true, and `*value` holds it. Overflow is false.
bool ParseUint(Text text, uint64_t* value, int base = 10);
// Bytes: a number with an optional fraction and unit k m g t, KiB MiB GiB TiB, KB MB GB TB, B, in any
// case. All units are powers of 1024.
bool ParseSize(Text text, uint64_t* bytes);
// Shell pattern with * and ?.
bool MatchGlob(Text pattern, Text text);

// Builds text in a buffer that somebody else owns; what does not fit is cut, and truncated()
// tells. Always ends with a NUL.
class TextBuilder {
 public:
  TextBuilder(char* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) { buffer_[0] = '\0'; }
  TextBuilder& Add(Text text);
  TextBuilder& Add(char c) { return Add(Text(&c, 1)); }
  // Control characters as "?": for terminals and logs.
  TextBuilder& AddShown(Text text);
  TextBuilder& AddUint(uint64_t value, int base = 10, int min_digits = 1);
  // "12.3 MiB"
  TextBuilder& AddSize(uint64_t bytes);
  // UTC, 20261122T131500Z
  TextBuilder& AddStamp(uint64_t unix_seconds);
  Text text() const { return {buffer_, size_}; }
  const char* c_str() const { return buffer_; }
  bool truncated() const { return truncated_; }
  void Clear() {
    size_ = 0;
    truncated_ = false;
    buffer_[0] = '\0';
  }

 private:
  char* buffer_;
  size_t capacity_;
  size_t size_ = 0;
  bool truncated_ = false;
};

template <size_t kCapacity>
class TextBuffer : public TextBuilder {
 public:
  TextBuffer() : TextBuilder(storage_, kCapacity) {}
  TextBuffer(const TextBuffer&) = delete;
  TextBuffer& operator=(const TextBuffer&) = delete;

 private:
  char storage_[kCapacity];
};

}  // namespace memtrace::rt

#endif  // MEMTRACE_RT_TEXT_H_
