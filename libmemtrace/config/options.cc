#include "libmemtrace/config/options.h"

#include "libmemtrace/config/parsers.h"

namespace memtrace::config {
namespace {

using rt::Text;

constexpr Text kPrefix = "MEMTRACE_";
constexpr uint64_t kDefaultMaxBytes = 8 * kMiB;
constexpr uint64_t kDefaultExactMaxBytes = 1 * kGiB;

constexpr Variable kVariables[] = {
    {"MEMTRACE_DIR", ParseDirectory, "/tmp/memtrace", "a path of less than 480 bytes",
     "where recordings and snapshots go"},
    {"MEMTRACE_SAMPLE", ParseSample, "auto", "1, a size up to 1TiB, or auto",
     "1: every allocation; a size: one sample per that many bytes on average; auto: as exact as the budget allows"},
    {"MEMTRACE_BUDGET", ParseBudget, "1%", "a percentage above 0% and up to 100%",
     "share of the program's CPU time that auto may spend"},
    {"MEMTRACE_SIGNAL", ParseSignal, "USR2", "the name or number of a signal that may be handled, RTMIN+n, or none",
     "signal that takes a snapshot"},
    {"MEMTRACE_SNAPSHOT_AT", ParseSnapshotAt, "80,90,95", "up to 8 percentages from 1 to 100 with commas, or none",
     "percent of the cgroup's memory limit at which a snapshot is taken"},
    {"MEMTRACE_KEEP", ParseKeep, "auto", "always or auto",
     "auto: small processes that end normally and were asked for no snapshot leave no file"},
    {"MEMTRACE_KEEP_FILES", ParseKeepFiles, "16", "a number from 1 to 1000000",
     "files kept per executable; older ones of ended processes are removed first"},
    {"MEMTRACE_MAX", ParseMax, "auto", "a size from 1MiB to 4GiB, or auto (8MiB, 1GiB with MEMTRACE_SAMPLE=1)",
     "size of one recording; at the limit sampling gets coarser; auto: 8MiB, 1GiB with MEMTRACE_SAMPLE=1"},
    {"MEMTRACE_FOLLOW", ParseFollow, "fork,exec", "fork, exec, fork,exec or none",
     "which children are recorded, each in a file of its own"},
    {"MEMTRACE_ONLY", ParseOnly, "", "comma-separated globs of less than 512 bytes", "executable names to record"},
    {"MEMTRACE_SKIP", ParseSkip, "", "comma-separated globs of less than 512 bytes", "executable names to leave alone"},
    {"MEMTRACE_DEPTH", ParseDepth, "128", "a number from 1 to 1024", "frames kept per stack"},
    {"MEMTRACE_COMMAND", ParseCommand, "1", "0 or 1", "0: the command line is not stored"},
    {"MEMTRACE_TERMINATION_LOG", ParseTerminationLog, "", "a path of less than 480 bytes",
     "each snapshot also writes a summary there, such as /dev/termination-log"},
    {"MEMTRACE_REACHABILITY", ParseReachability, "0", "0 or 1",
     "1: each snapshot also finds the blocks that no pointer leads to any more, in a copy of the process"},
    {"MEMTRACE_QUIET", ParseQuiet, "0", "0 or 1", "1: no line on standard error"},
    {"MEMTRACE_SEED", ParseSeed, "0", "a number, decimal or with 0x",
     "seed of the sampling, for repeatable runs; 0: random"},
    {"MEMTRACE_UNWINDER", ParseUnwinder, "own", "own, libunwind or verify",
     "what walks the stacks; verify compares each incremental unwind with a full one"},
    {"MEMTRACE_RUN", ParseRun, "0", "a process id", ""},
};

// How many characters of `name` an entry of the environment begins with. The entry's end is not
// looked for: environments may be megabytes long.
size_t CommonLength(const char* entry, Text name) {
  size_t i = 0;
  while (i < name.size && entry[i] == name[i]) ++i;
  return i;
}

// The value in `environment`, empty if not set. Of duplicates the first counts, as with getenv.
Text Lookup(const char* const* environment, Text name) {
  for (; *environment != nullptr; ++environment) {
    const char* entry = *environment;
    if (CommonLength(entry, name) == name.size && entry[name.size] == '=') return Text(entry + name.size + 1);
  }
  return {};
}

// Foreign text on a terminal: cut, and without control characters.
void AddForeign(rt::TextBuilder* line, Text text) {
  constexpr size_t kShown = 80;
  for (size_t i = 0; i < text.size && i < kShown; ++i) {
    const bool is_control = static_cast<unsigned char>(text[i]) < ' ' || text[i] == 0x7f;
    line->Add(is_control ? '?' : text[i]);
  }
  if (text.size > kShown) line->Add("...");
}

void ComplainOfValue(const Variable& variable, Text value, ComplainFunction complain) {
  rt::TextBuffer<448> line;
  line.Add(variable.name).Add("=");
  AddForeign(&line, value);
  line.Add(" is not usable: expected ").Add(variable.accepted).Add("; using ");
  complain(line.Add(variable.fallback.empty() ? Text("none") : variable.fallback).text());
}

void ComplainOfUnknown(const char* const* environment, ComplainFunction complain) {
  for (; *environment != nullptr; ++environment) {
    if (CommonLength(*environment, kPrefix) < kPrefix.size) continue;
    Text entry(*environment);
    const Text name = NextPart(&entry, '=');
    if (FindVariable(name) != nullptr) continue;
    rt::TextBuffer<448> line;
    AddForeign(&line, name);
    complain(line.Add(" is not known; did you mean ").Add(NearestVariable(name).name).Add("?").text());
  }
}

// Levenshtein's distance of the first kLongest characters.
size_t Distance(Text a, Text b) {
  constexpr size_t kLongest = 48;
  a = a.First(kLongest);
  b = b.First(kLongest);
  size_t row[kLongest + 1];
  for (size_t j = 0; j <= b.size; ++j) row[j] = j;
  for (size_t i = 1; i <= a.size; ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size; ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      const size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      diagonal = row[j];
      row[j] = replaced < other ? replaced : other;
    }
  }
  return row[b.size];
}

bool MatchesAny(Text globs, Text name) {
  while (!globs.empty()) {
    const Text glob = Trim(NextPart(&globs, ','));
    if (!glob.empty() && MatchGlob(glob, name)) return true;
  }
  return false;
}

}  // namespace

VariableList Variables() { return {kVariables, sizeof(kVariables) / sizeof(kVariables[0])}; }

const Variable* FindVariable(Text name) {
  for (const Variable& variable : kVariables) {
    if (variable.name == name) return &variable;
  }
  return nullptr;
}

const Variable& NearestVariable(Text name) {
  const Variable* nearest = &kVariables[0];
  size_t least = ~size_t{0};
  for (const Variable& variable : kVariables) {
    if (variable.help.empty()) continue;
    const size_t distance = Distance(name, variable.name);
    if (distance >= least) continue;
    least = distance;
    nearest = &variable;
  }
  return *nearest;
}

void ReadOptions(const char* const* environment, Options* options, ComplainFunction complain) {
  static constexpr const char* kNothing[] = {nullptr};
  if (environment == nullptr) environment = kNothing;
  ParseQuiet("0", options);
  ParseQuiet(Lookup(environment, "MEMTRACE_QUIET"), options);
  if (options->quiet) complain = nullptr;
  for (const Variable& variable : kVariables) {
    variable.parse(variable.fallback, options);
    const Text value = Lookup(environment, variable.name);
    if (value.empty() || variable.parse(value, options)) continue;
    if (complain != nullptr) ComplainOfValue(variable, value, complain);
  }
  if (options->max_bytes == 0) {
    options->max_bytes = options->sample == Sample::kExact ? kDefaultExactMaxBytes : kDefaultMaxBytes;
  }
  if (complain != nullptr) ComplainOfUnknown(environment, complain);
}

bool Selects(const Options& options, Text executable_name) {
  if (options.only[0] != '\0' && !MatchesAny(options.only, executable_name)) return false;
  return !MatchesAny(options.skip, executable_name);
}

}  // namespace memtrace::config
