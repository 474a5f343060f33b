#include "libmemtrace/rt/cgroup.h"

#include "libmemtrace/rt/os.h"

namespace memtrace::rt {
namespace {

using format::kUnknown;
using PathBuffer = TextBuffer<kCgroupPathBytes>;

// "No limit" in version 1 is 2^63 - 1 rounded down to pages, of whatever size.
constexpr uint64_t kNoLimit = uint64_t{1} << 60;

struct Files {
  Text controller;  // in /proc/PID/cgroup and among the mount's options; version 2 names none
  Text filesystem;
  Text usage;
  Text limit;
  Text inactive_file;  // in memory.stat, with the cgroups below
};
constexpr Files kFiles[] = {
    {},
    {"memory", "cgroup", "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"},
    {"", "cgroup2", "memory.current", "memory.max", "inactive_file"},
};

constexpr Text kMemoryFiles1[] = {
    "memory.usage_in_bytes",       "memory.limit_in_bytes",
    "memory.max_usage_in_bytes",   "memory.failcnt",
    "memory.oom_control",          "memory.stat",
    "memory.soft_limit_in_bytes",  "memory.use_hierarchy",
    "memory.swappiness",           "memory.memsw.usage_in_bytes",
    "memory.memsw.limit_in_bytes", "memory.memsw.max_usage_in_bytes",
    "memory.memsw.failcnt",        "memory.kmem.usage_in_bytes",
    "memory.kmem.limit_in_bytes",  "memory.kmem.tcp.usage_in_bytes",
};
constexpr Text kMemoryFiles2[] = {
    "memory.current",     "memory.max",           "memory.high",         "memory.low",       "memory.min",
    "memory.peak",        "memory.events",        "memory.events.local", "memory.stat",      "memory.pressure",
    "memory.oom.group",   "memory.swap.current",  "memory.swap.max",     "memory.swap.high", "memory.swap.peak",
    "memory.swap.events", "memory.zswap.current", "memory.zswap.max",
};
constexpr Text kPidsFiles[] = {"pids.current", "pids.max", "pids.peak", "pids.events"};

void Store(Text text, char (&field)[kCgroupPathBytes]) { TextBuilder(field, kCgroupPathBytes).Add(text); }

bool Exists(const char* path) {
  FileIdentity identity;
  return IdentifyPath(path, &identity);
}

bool HasFile(Text directory, Text name) {
  PathBuffer path;
  return Exists(path.Add(directory).Add('/').Add(name).c_str());
}

// "max" and version 1's enormous numbers are kUnknown, as is what cannot be read.
uint64_t Amount(Text text) {
  uint64_t value;
  return ParseUint(Trim(text), &value) && value < kNoLimit ? value : kUnknown;
}

uint64_t ReadAmount(Text directory, Text name) {
  PathBuffer path;
  char content[32];
  return Amount(ReadFile(path.Add(directory).Add('/').Add(name).c_str(), content, sizeof(content)));
}

struct Stat {
  Text name;
  uint64_t value = kUnknown;
};

void ReadStat(Text directory, Stat* stats, size_t count) {
  PathBuffer path;
  LineReader reader(path.Add(directory).Add("/memory.stat").c_str());
  Text line;
  while (reader.Next(&line)) {
    const Text name = NextWord(&line);
    for (size_t i = 0; i < count; ++i) {
      if (name == stats[i].name) stats[i].value = Amount(line);
    }
  }
}

bool ListHas(Text list, Text word) {
  while (!list.empty()) {
    if (NextPart(&list, ',') == word) return true;
  }
  return false;
}

// The cgroup of the process in the hierarchy of `controller`; an empty controller is version 2.
// Lines read "4:memory:/path" or "0::/path"; the path may have colons.
bool FindPath(const char* proc_directory, const char* root, Text controller, char (&path)[kCgroupPathBytes]) {
  PathBuffer file;
  LineReader reader(file.Add(root).Add(proc_directory).Add("/cgroup").c_str());
  Text line;
  while (reader.Next(&line)) {
    const Text hierarchy = NextPart(&line, ':');
    const Text controllers = NextPart(&line, ':');
    const bool matches = controller.empty() ? hierarchy == "0" : ListHas(controllers, controller);
    if (!matches || line.size >= kCgroupPathBytes) continue;
    Store(line, path);
    return true;
  }
  return false;
}

// A path of mountinfo, where blanks and backslashes are written as \ and three octal digits.
bool Unescape(Text text, TextBuilder* path) {
  path->Clear();
  while (!text.empty()) {
    uint64_t code;
    const bool escaped = text[0] == '\\' && text.size >= 4 && ParseUint(text.From(1).First(3), &code, 8);
    path->Add(escaped ? static_cast<char>(code) : text[0]);
    text = text.From(escaped ? 4 : 1);
  }
  return !path->truncated();
}

struct Mount {
  PathBuffer root;  // the part of the hierarchy that is mounted
  PathBuffer point;
};

// "36 35 98:0 /root /point rw,noatime master:1 - cgroup source rw,memory", see proc(5).
bool ParseMount(Text line, Text filesystem, Text controller, Mount* mount) {
  for (int i = 0; i < 3; ++i) NextWord(&line);
  const Text root = NextWord(&line);
  const Text point = NextWord(&line);
  Text word = NextWord(&line);
  while (!word.empty() && !(word == "-")) word = NextWord(&line);
  if (!(NextWord(&line) == filesystem)) return false;
  NextWord(&line);
  if (!controller.empty() && !ListHas(NextWord(&line), controller)) return false;
  return Unescape(root, &mount->root) && Unescape(point, &mount->point);
}

// Whether `path` lies in the subtree `base`; `rest` is what follows. Cgroups outside of the
// namespace's root have paths like "/../x": what the names on the way are, nobody tells.
bool LiesBelow(Text path, Text base, Text* rest) {
  if (base == "/") base = "";
  if (path == "/") path = "";
  if (!StartsWith(path, base)) return false;
  *rest = path.From(base.size);
  if (!rest->empty() && (*rest)[0] != '/') return false;
  return !(*rest == "/..") && !StartsWith(*rest, "/../");
}

bool ListsProcess(Text directory, uint64_t pid) {
  PathBuffer path;
  LineReader reader(path.Add(directory).Add("/cgroup.procs").c_str());
  Text line;
  uint64_t member;
  while (reader.Next(&line)) {
    if (ParseUint(Trim(line), &member) && member == pid) return true;
  }
  return false;
}

uint64_t ProcessOf(Text proc_directory) {
  uint64_t pid;
  const Text name = proc_directory.From(FindLast(proc_directory, '/') + 1);
  return ParseUint(name, &pid) ? pid : static_cast<uint64_t>(ProcessId());
}

// Where a cgroup is seen.
struct Place {
  char directory[kCgroupPathBytes];
  size_t top_bytes;  // length of the part of `directory` that is the mount point
};

// Looks through the mounts of `mountinfo`, whose points lie below `prefix`. The mount that shows
// most levels above the cgroup wins; the last of equal ones, since it may cover the others.
// A mount that does not seem to hold the cgroup still counts if its top lists the process.
bool FindPlaceIn(const char* mountinfo, Text prefix, const Files& files, Text path, uint64_t pid, Place* place) {
  constexpr size_t kGuessed = ~size_t{0} - 1;
  size_t best = ~size_t{0};
  LineReader reader(mountinfo);
  Text line;
  while (reader.Next(&line)) {
    Mount mount;
    if (!ParseMount(line, files.filesystem, files.controller, &mount)) continue;
    PathBuffer directory;
    directory.Add(prefix).Add(mount.point.text());
    const size_t top_bytes = directory.text().size;
    Text rest;
    const bool below = LiesBelow(path, mount.root.text(), &rest);
    const size_t rank = below ? mount.root.text().size : kGuessed;
    if (rank > best) continue;
    if (below) directory.Add(rest);
    const bool usable = below ? Exists(directory.c_str()) : ListsProcess(directory.text(), pid);
    if (!usable || directory.truncated()) continue;
    best = rank;
    Store(directory.text(), place->directory);
    place->top_bytes = top_bytes;
  }
  return best != ~size_t{0};
}

// The reader's own mounts first: paths in /proc/PID/cgroup count from the reader's namespace. For a
// process that they do not show, as in a sidecar container, its mounts through /proc/PID/root.
bool FindPlace(const char* proc_directory, const char* root, const Files& files, Text path, Place* place) {
  const uint64_t pid = ProcessOf(proc_directory);
  PathBuffer file;
  file.Add(root).Add("/proc/self/mountinfo");
  if (FindPlaceIn(file.c_str(), root, files, path, pid, place)) return true;
  file.Clear();
  file.Add(root).Add(proc_directory);
  PathBuffer prefix;
  prefix.Add(file.text()).Add("/root");
  return FindPlaceIn(file.Add("/mountinfo").c_str(), prefix.text(), files, path, pid, place);
}

// Shortens the path by one level; false at the top.
bool GoUp(char* directory, size_t* size, size_t top_bytes) {
  if (*size <= top_bytes) return false;
  *size = FindLast(Text(directory, *size), '/');
  directory[*size] = '\0';
  return true;
}

// A cgroup of version 2 without the controller is charged to the one above it.
void GoToController(const Files& files, Place* place) {
  char at[kCgroupPathBytes];
  Store(place->directory, at);
  size_t size = Length(at);
  do {
    if (!HasFile(Text(at, size), files.usage)) continue;
    Store(Text(at, size), place->directory);
    return;
  } while (GoUp(at, &size, place->top_bytes));
}

void FindLimit(const Files& files, size_t top_bytes, Cgroup* cgroup) {
  char at[kCgroupPathBytes];
  Store(cgroup->directory, at);
  size_t size = Length(at);
  do {
    const Text level(at, size);
    // Version 1 before Linux 5.11: what lies below need not count here.
    if (size < Length(cgroup->directory) && ReadAmount(level, "memory.use_hierarchy") == 0) break;
    const uint64_t limit = ReadAmount(level, files.limit);
    if (limit >= cgroup->limit_bytes) continue;
    cgroup->limit_bytes = limit;
    Store(level, cgroup->limit_directory);
  } while (GoUp(at, &size, top_bytes));
  // Version 1 names the limit that holds even if it is set above what is mounted.
  if (cgroup->version != 1) return;
  Stat hidden{"hierarchical_memory_limit"};
  ReadStat(cgroup->directory, &hidden, 1);
  if (hidden.value >= cgroup->limit_bytes) return;
  cgroup->limit_bytes = hidden.value;
  Store(Text(at, size), cgroup->limit_directory);
}

void VisitFiles(Text directory, int levels_up, const Text* names, size_t count, CgroupFileVisitor visit,
                void* context) {
  for (size_t i = 0; i < count; ++i) {
    PathBuffer path;
    path.Add(directory).Add('/').Add(names[i]);
    if (path.truncated() || !Exists(path.c_str())) continue;
    PathBuffer name;
    for (int level = 0; level < levels_up; ++level) name.Add("../");
    visit(context, name.Add(names[i]).text(), path.c_str());
  }
}

template <size_t kCount>
void VisitFiles(Text directory, int levels_up, const Text (&names)[kCount], CgroupFileVisitor visit, void* context) {
  VisitFiles(directory, levels_up, names, kCount, visit, context);
}

int LevelsBetween(Text upper, Text lower) {
  int levels = 0;
  for (size_t i = upper.size; i < lower.size; ++i) levels += lower[i] == '/' ? 1 : 0;
  return levels;
}

}  // namespace

bool FindCgroup(const char* proc_directory, const char* root, Cgroup* cgroup) {
  const bool found = FindMemoryCgroup(proc_directory, root, cgroup);
  if (found) FindPids(proc_directory, root, cgroup);
  return found;
}

bool FindMemoryCgroup(const char* proc_directory, const char* root, Cgroup* cgroup) {
  cgroup->version = 0;
  cgroup->limit_bytes = kUnknown;
  cgroup->path[0] = cgroup->directory[0] = cgroup->limit_directory[0] = cgroup->pids_directory[0] = '\0';
  // A memory controller in version 1 is missing in version 2, whatever else is mounted there.
  for (int version = 1; version <= 2 && cgroup->version == 0; ++version) {
    if (FindPath(proc_directory, root, kFiles[version].controller, cgroup->path)) cgroup->version = version;
  }
  Place place;
  const Files& files = kFiles[cgroup->version];
  if (cgroup->version == 0 || !FindPlace(proc_directory, root, files, cgroup->path, &place)) return false;
  if (cgroup->version == 2) {
    Store(place.directory, cgroup->pids_directory);
    GoToController(files, &place);
  }
  Store(place.directory, cgroup->directory);
  Store(place.directory, cgroup->limit_directory);
  FindLimit(files, place.top_bytes, cgroup);
  return true;
}

void FindPids(const char* proc_directory, const char* root, Cgroup* cgroup) {
  constexpr Files kPids = {"pids", "cgroup", {}, {}, {}};
  char path[kCgroupPathBytes];
  Place place;
  if (cgroup->version == 1 && FindPath(proc_directory, root, kPids.controller, path) &&
      FindPlace(proc_directory, root, kPids, path, &place)) {
    Store(place.directory, cgroup->pids_directory);
  }
}

bool ReadMemoryUse(const Cgroup& cgroup, bool with_stat, MemoryUse* use) {
  *use = MemoryUse();
  if (cgroup.limit_directory[0] == '\0') return false;
  const Files& files = kFiles[cgroup.version];
  use->usage_bytes = ReadAmount(cgroup.limit_directory, files.usage);
  use->limit_bytes = cgroup.limit_bytes;
  if (with_stat) {
    Stat stats[] = {{files.inactive_file}, {"hierarchical_memory_limit"}};
    ReadStat(cgroup.limit_directory, stats, 2);
    use->inactive_file_bytes = stats[0].value;
    use->limit_bytes = cgroup.version == 1 ? stats[1].value : ReadAmount(cgroup.limit_directory, files.limit);
  }
  return use->usage_bytes != kUnknown;
}

void VisitCgroupFiles(const Cgroup& cgroup, CgroupFileVisitor visit, void* context) {
  const int levels = LevelsBetween(cgroup.limit_directory, cgroup.directory);
  const auto visit_memory = [&](Text directory, int levels_up) {
    if (cgroup.version == 1) VisitFiles(directory, levels_up, kMemoryFiles1, visit, context);
    if (cgroup.version == 2) VisitFiles(directory, levels_up, kMemoryFiles2, visit, context);
  };
  if (cgroup.directory[0] == '\0') return;
  visit_memory(cgroup.directory, 0);
  if (levels > 0) visit_memory(cgroup.limit_directory, levels);
  if (cgroup.pids_directory[0] != '\0') VisitFiles(cgroup.pids_directory, 0, kPidsFiles, visit, context);
}

}  // namespace memtrace::rt
