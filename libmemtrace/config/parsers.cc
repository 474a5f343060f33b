#include "libmemtrace/config/parsers.h"

#include "libmemtrace/rt/syscall.h"

namespace memtrace::config {
namespace {

using rt::Text;

// Room for the names of files behind the directory.
constexpr size_t kPathRoom = 32;
constexpr uint64_t kMaxSampleBytes = uint64_t{1} << 40;
constexpr uint64_t kMaxKeepFiles = 1000000;

bool ParseBool(Text value, bool* result) {
  struct Word {
    Text text;
    bool meaning;
  };
  static constexpr Word kWords[] = {{"1", true},  {"yes", true}, {"true", true},   {"on", true},
                                    {"0", false}, {"no", false}, {"false", false}, {"off", false}};
  for (const Word& word : kWords) {
    if (!EqualIgnoringCase(Trim(value), word.text)) continue;
    *result = word.meaning;
    return true;
  }
  return false;
}

// One of two words; true selects the second.
bool ParseChoice(Text value, Text first, Text second, bool* result) {
  value = Trim(value);
  if (!EqualIgnoringCase(value, first) && !EqualIgnoringCase(value, second)) return false;
  *result = EqualIgnoringCase(value, second);
  return true;
}

bool ParseRange(Text value, uint64_t least, uint64_t most, uint32_t* result) {
  uint64_t number;
  if (!ParseUint(Trim(value), &number) || number < least || number > most) return false;
  *result = static_cast<uint32_t>(number);
  return true;
}

// "12", "12%", "0.5 %": in millionths; finer digits are ignored.
bool ParsePercent(Text value, uint64_t* ppm) {
  constexpr uint64_t kPpmPerPercent = 10000;
  value = Trim(value);
  if (EndsWith(value, "%")) value = Trim(value.First(value.size - 1));
  Text fraction = value;
  uint64_t whole;
  if (!ParseUint(NextPart(&fraction, '.'), &whole) || whole > 100) return false;
  if (EndsWith(value, ".")) return false;
  uint64_t scale = kPpmPerPercent;
  *ppm = whole * scale;
  for (size_t i = 0; i < fraction.size; ++i) {
    if (fraction[i] < '0' || fraction[i] > '9') return false;
    scale /= 10;
    *ppm += static_cast<uint64_t>(fraction[i] - '0') * scale;
  }
  return *ppm <= 100 * kPpmPerPercent;
}

bool CopyList(Text value, char (&field)[kMaxPath]) {
  value = Trim(value);
  if (value.size >= kMaxPath) return false;
  rt::TextBuilder(field, kMaxPath).Add(value);
  return true;
}

// The path made absolute. False if it is too long, or if the current directory is not known.
bool CopyPath(Text path, char (&field)[kMaxPath]) {
  while (path.size > 1 && EndsWith(path, "/")) path.size -= 1;
  char current[kMaxPath];
  current[0] = '\0';  // not by an initialiser: that would call memset
  Text base;
  if (!path.empty() && path[0] != '/') {
    const long size = rt::Syscall(__NR_getcwd, rt::Address(current), sizeof(current));
    // A directory outside of the process's root reads "(unreachable)...", see getcwd(3).
    if (rt::IsError(size) || current[0] != '/') return false;
    base = Text(current);
    while (StartsWith(path, "./")) path = path.From(2);
  }
  const bool separated = base.empty() || EndsWith(base, "/");
  if (base.size + (separated ? 0 : 1) + path.size >= kMaxPath - kPathRoom) return false;
  rt::TextBuilder(field, kMaxPath).Add(base).Add(separated ? "" : "/").Add(path);
  return true;
}

struct Signal {
  Text name;
  int number;
};
// Linux on x86-64 and arm64 (asm-generic/signal.h).
constexpr Signal kSignals[] = {
    {"HUP", 1},   {"INT", 2},    {"QUIT", 3},    {"ILL", 4},   {"TRAP", 5},  {"ABRT", 6},  {"IOT", 6},
    {"BUS", 7},   {"FPE", 8},    {"KILL", 9},    {"USR1", 10}, {"SEGV", 11}, {"USR2", 12}, {"PIPE", 13},
    {"ALRM", 14}, {"TERM", 15},  {"STKFLT", 16}, {"CHLD", 17}, {"CLD", 17},  {"CONT", 18}, {"STOP", 19},
    {"TSTP", 20}, {"TTIN", 21},  {"TTOU", 22},   {"URG", 23},  {"XCPU", 24}, {"XFSZ", 25}, {"VTALRM", 26},
    {"PROF", 27}, {"WINCH", 28}, {"IO", 29},     {"POLL", 29}, {"PWR", 30},  {"SYS", 31},
};
// 32 and 33 belong to the threads of glibc and musl.
constexpr uint64_t kRtMin = 34;
constexpr uint64_t kRtMax = 64;

// Signals that no handler gets, that a fault raises again and again, or that libc keeps for itself.
constexpr bool IsForbidden(uint64_t number) {
  constexpr uint64_t kForbidden = 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 9 | 1u << 11 | 1u << 19 |
                                  1u << 31 | uint64_t{1} << 32 | uint64_t{1} << 33;
  return number == 0 || number > kRtMax || (number < kRtMax && (kForbidden >> number & 1) != 0);
}

uint64_t NamedSignal(Text name) {
  for (const Signal& signal : kSignals) {
    if (EqualIgnoringCase(name, signal.name)) return static_cast<uint64_t>(signal.number);
  }
  uint64_t offset = 0;
  const bool from_low = EqualIgnoringCase(name.First(5), "RTMIN");
  if (!from_low && !EqualIgnoringCase(name.First(5), "RTMAX")) return 0;
  const Text rest = name.From(5);
  const bool readable = rest.empty() || (rest[0] == (from_low ? '+' : '-') && ParseUint(rest.From(1), &offset));
  if (!readable || offset > kRtMax - kRtMin) return 0;
  return from_low ? kRtMin + offset : kRtMax - offset;
}

}  // namespace

int SignalNumber(Text text) {
  text = Trim(text);
  if (EqualIgnoringCase(text, "none")) return 0;
  uint64_t number;
  if (!ParseUint(text, &number)) {
    number = NamedSignal(EqualIgnoringCase(text.First(3), "SIG") ? text.From(3) : text);
  }
  return IsForbidden(number) ? -1 : static_cast<int>(number);
}

bool ParseDirectory(Text value, Options* options) { return CopyPath(value, options->directory); }

bool ParseSample(Text value, Options* options) {
  value = Trim(value);
  uint64_t bytes = 0;
  const bool is_auto = EqualIgnoringCase(value, "auto");
  if (!is_auto && (!ParseSize(value, &bytes) || bytes == 0 || bytes > kMaxSampleBytes)) return false;
  options->sample = is_auto ? Sample::kAuto : bytes == 1 ? Sample::kExact : Sample::kFixed;
  options->sample_bytes = bytes;
  return true;
}

bool ParseBudget(Text value, Options* options) {
  uint64_t ppm;
  if (!ParsePercent(value, &ppm) || ppm == 0) return false;
  options->budget_ppm = static_cast<uint32_t>(ppm);
  return true;
}

bool ParseSignal(Text value, Options* options) {
  const int number = SignalNumber(value);
  if (number < 0) return false;
  options->signal = number;
  return true;
}

bool ParseSnapshotAt(Text value, Options* options) {
  bool wanted[101] = {};
  int count = 0;
  if (!EqualIgnoringCase(Trim(value), "none")) {
    do {
      Text part = Trim(NextPart(&value, ','));
      if (EndsWith(part, "%")) part = Trim(part.First(part.size - 1));
      uint32_t percent;
      if (!ParseRange(part, 1, 100, &percent)) return false;
      if (!wanted[percent] && ++count > kMaxSnapshotPercents) return false;
      wanted[percent] = true;
    } while (!value.empty());
  }
  options->snapshot_percent_count = count;
  for (int percent = 100; percent > 0; --percent) {
    if (wanted[percent]) options->snapshot_percents[--count] = static_cast<uint8_t>(percent);
  }
  return true;
}

bool ParseKeep(Text value, Options* options) { return ParseChoice(value, "auto", "always", &options->keep_always); }

bool ParseKeepFiles(Text value, Options* options) { return ParseRange(value, 1, kMaxKeepFiles, &options->keep_files); }

bool ParseMax(Text value, Options* options) {
  uint64_t bytes = 0;
  const bool is_auto = EqualIgnoringCase(Trim(value), "auto");
  if (!is_auto && (!ParseSize(value, &bytes) || bytes < kMinMaxBytes || bytes > kMaxMaxBytes)) return false;
  options->max_bytes = bytes;
  return true;
}

bool ParseFollow(Text value, Options* options) {
  bool fork = false;
  bool exec = false;
  if (!EqualIgnoringCase(Trim(value), "none")) {
    do {
      const Text part = Trim(NextPart(&value, ','));
      const bool is_fork = EqualIgnoringCase(part, "fork");
      if (!is_fork && !EqualIgnoringCase(part, "exec")) return false;
      (is_fork ? fork : exec) = true;
    } while (!value.empty());
  }
  options->follow_fork = fork;
  options->follow_exec = exec;
  return true;
}

bool ParseOnly(Text value, Options* options) { return CopyList(value, options->only); }
bool ParseSkip(Text value, Options* options) { return CopyList(value, options->skip); }
bool ParseDepth(Text value, Options* options) { return ParseRange(value, 1, kMaxDepth, &options->depth); }
bool ParseCommand(Text value, Options* options) { return ParseBool(value, &options->store_command); }
bool ParseTerminationLog(Text value, Options* options) { return CopyPath(value, options->termination_log); }
bool ParseReachability(Text value, Options* options) { return ParseBool(value, &options->reachability); }
bool ParseQuiet(Text value, Options* options) { return ParseBool(value, &options->quiet); }

bool ParseSeed(Text value, Options* options) {
  value = Trim(value);
  const bool is_hex = EqualIgnoringCase(value.First(2), "0x");
  return ParseUint(is_hex ? value.From(2) : value, &options->seed, is_hex ? 16 : 10);
}

bool ParseUnwinder(Text value, Options* options) {
  constexpr Text kNames[] = {"own", "libunwind", "verify"};
  for (int i = 0; i < 3; ++i) {
    if (!EqualIgnoringCase(Trim(value), kNames[i])) continue;
    options->unwinder = static_cast<Unwinder>(i);
    return true;
  }
  return false;
}

bool ParseRun(Text value, Options* options) { return ParseRange(value, 0, 0x7fffffff, &options->run_pid); }

}  // namespace memtrace::config
