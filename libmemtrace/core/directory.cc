#include "libmemtrace/core/directory.h"

#include <asm/errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "libmemtrace/format/recording.h"
#include "libmemtrace/rt/directory_entries.h"
#include "libmemtrace/rt/os.h"
#include "libmemtrace/rt/syscall.h"

namespace memtrace::core {
namespace {

using rt::Address;
using rt::Syscall;
using rt::Text;

constexpr int kAtFdCwd = -100;
constexpr int kWriteAndSearch = 3;

int Usable(const char* path, int mode) {
  long made = Syscall(__NR_mkdirat, kAtFdCwd, Address(path), mode);
  if (!rt::IsError(made)) {
    Syscall(__NR_fchmodat, kAtFdCwd, Address(path), mode);  // the program's umask is not ours
  } else if (made != -EEXIST) {
    return static_cast<int>(made);
  }
  // Effective rights, unlike access(2): creating a file is what counts; here a cheap first look.
  return static_cast<int>(Syscall(__NR_faccessat, kAtFdCwd, Address(path), kWriteAndSearch));
}

void MakeParents(const char* path) {
  rt::TextBuffer<512> parent;
  const Text whole(path);
  for (size_t i = 1; i < whole.size; ++i) {
    if (whole[i] != '/') continue;
    parent.Clear();
    parent.Add(whole.First(i));
    Syscall(__NR_mkdirat, kAtFdCwd, Address(parent.c_str()), 0755);
  }
}

enum class Content { kRecording, kOther, kUnreadable };

Content ReadHeader(const char* path, format::Header* header) {
  const int fd = rt::Open(path, O_RDONLY | O_NOFOLLOW);
  if (fd < 0) return Content::kUnreadable;
  const long size = rt::ReadAll(fd, header, sizeof(*header));
  rt::Close(fd);
  const bool valid = size == static_cast<long>(sizeof(*header)) && Text(header->magic, 8) == Text(format::kMagic, 8) &&
                     header->version == format::kVersion;
  return valid ? Content::kRecording : Content::kOther;
}

bool IsOwnDirectory(const char* path) {
  rt::FileIdentity identity;
  return rt::IdentifyPath(path, &identity) && S_ISDIR(identity.mode) &&
         identity.uid == static_cast<uint32_t>(Syscall(__NR_geteuid));
}

bool IsAlive(uint32_t pid) { return Syscall(__NR_kill, static_cast<long>(pid), 0) != -ESRCH; }

// Goes through a directory twice at most; holds the oldest removable file of one executable.
class Tidier {
 public:
  Tidier(const char* directory, const Tidying& tidying) : directory_(directory), tidying_(tidying) {}

  template <typename Visit>
  void ForEachFile(Visit visit) {
    const int fd = rt::Open(directory_, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return;
    rt::ForEachEntry(fd, [&](const char* file) {
      FileName name;
      if (ParseFileName(file, &name)) visit(file, name);
      if (rt::StartsWith(file, ".memtrace-") || rt::EndsWith(file, ".snap.tmp")) RemoveOrphan(file);
      return 0;
    });
    rt::Close(fd);
  }

  Found Run() {
    Found found;
    uint32_t files = 0;
    ForEachFile([&](const char* file, const FileName& name) {
      if (name.executable == tidying_.executable) ++files;
      if (name.snapshot) return;
      if (name.pid == tidying_.pid) CloseFormerImage(file);
      if (name.pid == tidying_.parent_pid && IsOurs(file)) found.parent_is_recorded = true;
    });
    for (uint32_t i = 0; i < kMostRemovals && files >= tidying_.keep_files && RemoveOldest(); ++i) --files;
    return found;
  }

 private:
  static constexpr uint32_t kMostRemovals = 64;

  const char* Path(const char* file) {
    path_.Clear();
    path_.Add(directory_).Add('/').Add(file);
    return path_.c_str();
  }

  // What a process was about to write when it was killed.
  void RemoveOrphan(const char* file) {
    constexpr uint64_t kLongestWriteS = 600;
    rt::FileIdentity identity;
    if (!rt::IdentifyPath(Path(file), &identity)) return;
    const uint64_t now_s = rt::NowNanoseconds(rt::Clock::kRealtime) / 1'000'000'000;
    if (identity.modified_s + kLongestWriteS < now_s) rt::Unlink(Path(file));
  }

  bool IsOurs(const char* file) {
    return ReadHeader(Path(file), &header_) == Content::kRecording && header_.pid_namespace == tidying_.pid_namespace &&
           header_.state == static_cast<uint32_t>(format::State::kRunning);
  }

  // The same process under another program: exec keeps the process id and the start time.
  void CloseFormerImage(const char* file) {
    if (!IsOurs(file) || header_.process_start_ticks != tidying_.start_ticks) return;
    if (!tidying_.keep_always && header_.snapshots_taken == 0 && !SurelyHeldMuch()) {
      rt::Unlink(Path(file));
      return;
    }
    const int fd = rt::Open(Path(file), O_WRONLY | O_NOFOLLOW);
    if (fd < 0) return;
    const uint32_t state = static_cast<uint32_t>(format::State::kExec);
    const uint64_t now = rt::NowNanoseconds(rt::Clock::kRealtime);
    Syscall(__NR_pwrite64, fd, Address(&now), sizeof(now), offsetof(format::Header, end_ns));
    Syscall(__NR_pwrite64, fd, Address(&state), sizeof(state), offsetof(format::Header, state));
    rt::Close(fd);
  }

  // Two samples of a program that held little may stand for a megabyte; four hardly do.
  bool SurelyHeldMuch() const {
    uint64_t coarsest = 1;
    for (const format::Rate& rate : header_.rates) coarsest = rate.bytes > coarsest ? rate.bytes : coarsest;
    const uint64_t doubt = coarsest > 1 ? 2 * coarsest : 0;
    return header_.peak_live_bytes >= kWorthKeepingBytes + doubt;
  }

  bool HasEnded(const char* file, const FileName& name) {
    const Content content = ReadHeader(Path(file), &header_);
    // What another user has written is not ours to remove; the sticky bit would refuse it anyway.
    if (content != Content::kRecording) return content == Content::kOther;
    if (header_.state == static_cast<uint32_t>(format::State::kExited)) return true;
    if (header_.pid_namespace != tidying_.pid_namespace) return false;  // cannot tell from here
    return !IsAlive(static_cast<uint32_t>(name.pid)) || header_.state == static_cast<uint32_t>(format::State::kExec);
  }

  bool RemoveOldest() {
    rt::TextBuffer<256> oldest;
    rt::TextBuffer<32> oldest_start;
    ForEachFile([&](const char* file, const FileName& name) {
      if (!(name.executable == tidying_.executable)) return;
      if (!oldest.text().empty() && !Before(name.start, oldest_start.text())) return;
      if (!HasEnded(file, name)) return;
      const bool switched_off = header_.state == static_cast<uint32_t>(format::State::kExited);
      if (name.pid == tidying_.pid && !switched_off) return;
      oldest.Clear();
      oldest.Add(file);
      oldest_start.Clear();
      oldest_start.Add(name.start);
    });
    if (oldest.text().empty()) return false;
    return !rt::IsError(Syscall(__NR_unlinkat, kAtFdCwd, Address(Path(oldest.c_str())), 0));
  }

  static bool Before(Text a, Text b) {  // stamps of one width
    for (size_t i = 0; i < a.size && i < b.size; ++i) {
      if (a[i] != b[i]) return a[i] < b[i];
    }
    return false;
  }

  const char* directory_;
  const Tidying& tidying_;
  format::Header header_;
  rt::TextBuffer<768> path_;
};

// Takes the part of `*text` behind its last dot.
Text CutExtension(Text* text) {
  const size_t dot = rt::FindLast(*text, '.');
  if (dot == rt::kNotFound) return {};
  const Text extension = text->From(dot + 1);
  *text = text->First(dot);
  return extension;
}

}  // namespace

int ChooseDirectory(const char* wanted, rt::TextBuilder* chosen) {
  MakeParents(wanted);
  chosen->Clear();
  chosen->Add(wanted);
  const int result = Usable(chosen->c_str(), 01777);
  if (result == 0) return 0;
  chosen->Add('-').AddUint(static_cast<uint64_t>(Syscall(__NR_geteuid)));
  // Not one that somebody else has put there for us, nor a link to elsewhere.
  return Usable(chosen->c_str(), 0700) == 0 && IsOwnDirectory(chosen->c_str()) ? 0 : result;
}

bool ParseFileName(Text name, FileName* parsed) {
  Text rest = name;
  const Text ending = CutExtension(&rest);
  parsed->snapshot = ending == "snap";
  if (!parsed->snapshot && !(ending == "rec")) return false;
  if (parsed->snapshot) CutExtension(&rest);
  parsed->start = CutExtension(&rest);
  const bool valid = rt::ParseUint(CutExtension(&rest), &parsed->pid);
  parsed->executable = rest;
  return valid && !rest.empty() && parsed->start.size == 16;
}

Found TidyDirectory(const char* directory, const Tidying& tidying) { return Tidier(directory, tidying).Run(); }

}  // namespace memtrace::core
