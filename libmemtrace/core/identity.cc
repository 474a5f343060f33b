#include "libmemtrace/core/identity.h"

#include <linux/utsname.h>

#include "libmemtrace/core/blob_stream.h"
#include "libmemtrace/rt/os.h"
#include "libmemtrace/rt/syscall.h"

namespace memtrace::core {
namespace {

using format::BlobKind;
using rt::Address;
using rt::Syscall;
using rt::Text;

constexpr int kAtFdCwd = -100;
constexpr uint64_t kTickNs = 10'000'000;  // USER_HZ is 100 on x86-64 and arm64
constexpr uint64_t kMostCommandBytes = 32 * 1024;
constexpr size_t kMostNameBytes = 64;

Text ReadLink(const char* path, char* buffer, size_t capacity) {
  const long size = Syscall(__NR_readlinkat, kAtFdCwd, Address(path), Address(buffer), static_cast<long>(capacity));
  return size > 0 ? Text(buffer, static_cast<size_t>(size)) : Text();
}

// Fields of /proc/self/stat behind the name, which may itself hold spaces and parentheses.
void ReadStat(Identity* identity) {
  char buffer[1024];
  Text rest = rt::ReadFile("/proc/self/stat", buffer, sizeof(buffer));
  const size_t close = rt::FindLast(rest, ')');
  if (close == rt::kNotFound) return;
  rest = rest.From(close + 1);
  for (int field = 3; field <= 22; ++field) {
    const Text word = rt::NextWord(&rest);
    uint64_t value = 0;
    rt::ParseUint(word, &value);
    if (field == 4) identity->parent_pid = static_cast<uint32_t>(value);
    if (field == 22) identity->start_ticks = value;
  }
}

void ReadBootId(uint8_t* id) {
  char buffer[64];
  const Text text = rt::ReadFile("/proc/sys/kernel/random/boot_id", buffer, sizeof(buffer));
  int digits = 0;
  for (size_t i = 0; i < text.size && digits < 32; ++i) {
    uint64_t digit;
    if (!rt::ParseUint(Text(&text.data[i], 1), &digit, 16)) continue;
    id[digits / 2] = static_cast<uint8_t>(id[digits / 2] << 4 | digit);
    ++digits;
  }
}

uint64_t ReadPidNamespace() {
  char buffer[64];
  Text link = ReadLink("/proc/self/ns/pid", buffer, sizeof(buffer));  // "pid:[4026531836]"
  rt::NextPart(&link, '[');
  uint64_t inode = 0;
  rt::ParseUint(rt::NextPart(&link, ']'), &inode);
  return inode;
}

}  // namespace

Identity ReadIdentity() {
  Identity identity{};
  identity.pid = static_cast<uint32_t>(rt::ProcessId());
  identity.uid = static_cast<uint32_t>(Syscall(__NR_geteuid));
  ReadStat(&identity);
  ReadBootId(identity.boot_id);
  identity.pid_namespace = ReadPidNamespace();
  if (identity.start_ticks != 0) {
    const uint64_t age = rt::NowNanoseconds(rt::Clock::kBoottime) - identity.start_ticks * kTickNs;
    identity.start_ns = rt::NowNanoseconds(rt::Clock::kRealtime) - age;
  }
  return identity;
}

void ReadExecutableName(rt::TextBuilder* name) {
  char buffer[4096];
  Text path = ReadLink("/proc/self/exe", buffer, sizeof(buffer));
  constexpr Text kDeleted = " (deleted)";
  if (rt::EndsWith(path, kDeleted)) path = path.First(path.size - kDeleted.size);
  const size_t slash = rt::FindLast(path, '/');
  if (slash != rt::kNotFound) path = path.From(slash + 1);
  constexpr int kGetName = 16;  // PR_GET_NAME: at most 15 characters, for want of /proc
  char short_name[16] = "unknown";
  if (path.empty()) {
    Syscall(__NR_prctl, kGetName, Address(short_name));
    path = short_name;
  }
  path = path.First(kMostNameBytes);
  for (size_t i = 0; i < path.size; ++i) {
    const bool plain = static_cast<unsigned char>(path[i]) > ' ' && path[i] != 0x7f;
    name->Add(plain ? path[i] : '_');
  }
}

void RecordIdentity(Recording* recording, const rt::Cgroup& cgroup, bool with_command) {
  const int ordinal = recording->AddChunk(format::ChunkKind::kBlob);
  auto* buffer = static_cast<char*>(rt::MapAnonymous(kMostCommandBytes));
  if (ordinal < 0 || buffer == nullptr) return;
  uint8_t* chunk = recording->Chunk(format::ChunkKind::kBlob, static_cast<uint32_t>(ordinal));
  // All of it fits into one chunk.
  BlobStream stream(
      chunk, 0, 0, [](void*, const uint8_t*) { return false; }, nullptr);
  stream.Add(BlobKind::kExecutable, "", ReadLink("/proc/self/exe", buffer, kMostCommandBytes));
  if (with_command) stream.Add(BlobKind::kCommand, "", rt::ReadFile("/proc/self/cmdline", buffer, kMostCommandBytes));
  new_utsname names{};
  if (!rt::IsError(Syscall(__NR_uname, Address(&names)))) stream.Add(BlobKind::kHostname, "", names.nodename);
  if (cgroup.version != 0) {
    stream.Add(BlobKind::kCgroupVersion, "", cgroup.version == 2 ? "2" : "1");
    stream.Add(BlobKind::kCgroupPath, "", cgroup.path);
    stream.Add(BlobKind::kCgroupLimitDir, "", cgroup.limit_directory);
  }
  Store(recording->header().blob_bytes, stream.stream_bytes(), std::memory_order_release);
  rt::Unmap(buffer, kMostCommandBytes);
}

}  // namespace memtrace::core
