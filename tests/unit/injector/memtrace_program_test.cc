// The program `memtrace` as its users start it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/rt/recorded_tree.h"

namespace memtrace {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

using Words = std::vector<std::string>;

struct Outcome {
  int status = 0;  // as from waitpid
  int pid = 0;
  std::string output;
  std::string errors;
  int exit_status() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
};

std::string Content(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

std::vector<char*> Pointers(Words& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Starts `memtrace WORDS...` with nothing but PATH and `environment` set.
Outcome Memtrace(Words words, Words environment = {}) {
  RecordedTree tree;
  tree.Write("/output", "").Write("/errors", "");
  words.insert(words.begin(), MEMTRACE_PROGRAM);
  environment.push_back("PATH=/usr/bin:/bin");
  Outcome outcome;
  outcome.pid = fork();
  if (outcome.pid == 0) {
    if (freopen(tree.In("/output").c_str(), "w", stdout) == nullptr) _exit(99);
    if (freopen(tree.In("/errors").c_str(), "w", stderr) == nullptr) _exit(99);
    execve(MEMTRACE_PROGRAM, Pointers(words).data(), Pointers(environment).data());
    _exit(98);
  }
  waitpid(outcome.pid, &outcome.status, 0);
  outcome.output = Content(tree.In("/output"));
  outcome.errors = Content(tree.In("/errors"));
  return outcome;
}

Outcome StartRun(Words words, const Words& environment = {}) {
  words.insert(words.begin(), {"run", "--library", PRELOAD_MARKER});
  return Memtrace(std::move(words), environment);
}

TEST(MemtraceRun, ExitStatusIsTheProgramsOwn) {
  EXPECT_EQ(StartRun({"--", "sh", "-c", "exit 0"}).exit_status(), 0);
  EXPECT_EQ(StartRun({"--", "sh", "-c", "exit 7"}).exit_status(), 7);
  EXPECT_EQ(StartRun({"--", DYNAMIC_PROGRAM}).exit_status(), 7);
  const Outcome killed = StartRun({"--", "sh", "-c", "kill -TERM $$"});
  ASSERT_TRUE(WIFSIGNALED(killed.status));
  EXPECT_EQ(WTERMSIG(killed.status), SIGTERM);
}

TEST(MemtraceRun, TheProgramTakesTheProcessOver) {
  const Outcome outcome = StartRun({"--", "sh", "-c", "echo $$ $MEMTRACE_RUN"});
  const std::string pid = std::to_string(outcome.pid);
  EXPECT_EQ(outcome.output, pid + " " + pid + "\n");
  EXPECT_EQ(outcome.errors, "");
}

TEST(MemtraceRun, PreloadsBeforeWhatIsPreloadedAlready) {
  EXPECT_EQ(StartRun({"--", "sh", "-c", "echo $LD_PRELOAD"}).output, std::string(PRELOAD_MARKER) + "\n");
  EXPECT_THAT(StartRun({"--", "sh", "-c", "cat /proc/$$/maps"}).output, HasSubstr(PRELOAD_MARKER));
  EXPECT_EQ(StartRun({"--", "sh", "-c", "echo $LD_PRELOAD"},
                     {"LD_PRELOAD=libc.so.6 libm.so.6", "ASAN_OPTIONS=verify_asan_link_order=0"})
                .output,
            std::string(PRELOAD_MARKER) + ":libc.so.6:libm.so.6\n");
}

TEST(MemtraceRun, OptionsBecomeVariables) {
  const std::string shown = StartRun({"--sample", "1", "--dir", "x/y", "--snapshot-at", "none", "--quiet", "--signal",
                                      "USR1", "--keep-files", "3", "--", "env"},
                                     {"MEMTRACE_SAMPLE=64k", "MEMTRACE_KEEP=auto"})
                                .output;
  for (const char* line : {"MEMTRACE_SAMPLE=1\n", "MEMTRACE_SNAPSHOT_AT=none\n", "MEMTRACE_QUIET=1\n",
                           "MEMTRACE_SIGNAL=USR1\n", "MEMTRACE_KEEP_FILES=3\n", "MEMTRACE_KEEP=always\n"}) {
    EXPECT_THAT(shown, HasSubstr(line));
  }
  char directory[4096];
  ASSERT_NE(getcwd(directory, sizeof(directory)), nullptr);
  EXPECT_THAT(shown, HasSubstr("MEMTRACE_DIR=" + std::string(directory) + "/x/y\n"));
  EXPECT_THAT(shown, Not(HasSubstr("MEMTRACE_SAMPLE=64k")));
  EXPECT_THAT(StartRun({"--keep", "auto", "--", "env"}).output, HasSubstr("MEMTRACE_KEEP=auto\n"));
}

TEST(MemtraceRun, WithoutTheMarkTheProgramStartsAtTheFirstWord) {
  EXPECT_EQ(StartRun({"--sample", "1", "echo", "--sample", "-x", "--", "y", "--"}).output, "--sample -x -- y --\n");
  EXPECT_EQ(StartRun({"--", "echo", "--", "--help"}).output, "-- --help\n");
}

TEST(MemtraceRun, NotFoundAndNotExecutable) {
  RecordedTree tree;
  tree.Write("/plain", "text").Write("/orphan", "#!/nonexistent/interpreter\n");
  chmod(tree.In("/orphan").c_str(), 0755);
  const Outcome missing = StartRun({"--", "no-such-program-anywhere"});
  EXPECT_EQ(missing.exit_status(), 127);
  EXPECT_EQ(missing.errors, "memtrace: no-such-program-anywhere: No such file or directory\n");
  const Outcome plain = StartRun({"--", tree.In("/plain")});
  EXPECT_EQ(plain.exit_status(), 126);
  EXPECT_THAT(plain.errors, AllOf(HasSubstr(tree.In("/plain")), HasSubstr("Permission denied")));
  EXPECT_EQ(StartRun({"--", tree.root()}).exit_status(), 126);
  const Outcome orphan = StartRun({"--", tree.In("/orphan")});
  EXPECT_EQ(orphan.exit_status(), 127);
  EXPECT_THAT(orphan.errors, HasSubstr("its interpreter is missing: /nonexistent/interpreter"));
}

TEST(MemtraceRun, FilesWithoutInterpreterLineGoToTheShell) {
  RecordedTree tree;
  tree.Write("/script", "echo \"$1\"; exit 5\n");
  chmod(tree.In("/script").c_str(), 0755);
  const Outcome outcome = StartRun({"--", tree.In("/script"), "a b"});
  EXPECT_EQ(outcome.exit_status(), 5);
  EXPECT_EQ(outcome.output, "a b\n");
}

TEST(MemtraceRun, SaysWhatItCannotSeeAndRunsItAnyway) {
  const Outcome outcome = StartRun({"--", STATIC_PROGRAM});
  EXPECT_EQ(outcome.exit_status(), 7);
  EXPECT_THAT(outcome.errors, AllOf(StartsWith("memtrace: "), HasSubstr("statically linked"), EndsWith("recorded\n")));
  EXPECT_THAT(StartRun({"--quiet", "--", STATIC_PROGRAM}).errors, IsEmpty());
  EXPECT_THAT(StartRun({"--", STATIC_PROGRAM}, {"MEMTRACE_QUIET=1"}).errors, IsEmpty());
}

TEST(MemtraceRun, UsageErrors) {
  for (const Words& words :
       {Words{"--bogus", "--", "true"}, Words{}, Words{"--"}, Words{"--sample"}, Words{"--sample", "0", "--", "true"},
        Words{"--depth", "x", "--", "true"}, Words{"--run", "1", "--", "true"}}) {
    const Outcome outcome = StartRun(words);
    EXPECT_EQ(outcome.exit_status(), 2) << ::testing::PrintToString(words);
    EXPECT_THAT(outcome.errors, StartsWith("memtrace: "));
    EXPECT_THAT(outcome.output, IsEmpty());
  }
  EXPECT_THAT(StartRun({"--sample", "0", "--", "true"}).errors, AllOf(HasSubstr("--sample"), HasSubstr("1TiB")));
  EXPECT_THAT(StartRun({"--bogus", "--", "true"}).errors, HasSubstr("--bogus"));
}

TEST(MemtraceRun, UnusableLibrary) {
  RecordedTree tree;
  tree.Write("/with blank.so", "");
  for (const char* library : {"/nonexistent.so", "/with blank.so"}) {
    const Outcome outcome = Memtrace({"run", "--library", tree.In(library), "--", "true"});
    EXPECT_EQ(outcome.exit_status(), 125);
    EXPECT_THAT(outcome.errors, HasSubstr(library));
  }
}

TEST(MemtraceProgram, HelpAndVersion) {
  for (const Words& words : {Words{"--help"}, Words{"run", "--help"}, Words{"check", "--help"}, Words{"--version"}}) {
    const Outcome outcome = Memtrace(words);
    EXPECT_EQ(outcome.exit_status(), 0);
    EXPECT_THAT(outcome.output, HasSubstr("memtrace"));
    EXPECT_THAT(outcome.errors, IsEmpty());
  }
  EXPECT_THAT(Memtrace({"run", "--help"}).output, HasSubstr("MEMTRACE_SNAPSHOT_AT"));
  EXPECT_THAT(Memtrace({"run", "--help"}).output, Not(HasSubstr("MEMTRACE_RUN")));
  EXPECT_EQ(Memtrace({}).exit_status(), 2);
  EXPECT_EQ(Memtrace({"frobnicate"}).exit_status(), 2);
  EXPECT_THAT(Memtrace({"frobnicate"}).errors, HasSubstr("frobnicate"));
}

TEST(MemtraceProgram, LibIsBesideTheProgramWhereverThatIs) {
  RecordedTree tree;
  tree.Write("/usr/bin/x", "").Write("/usr/lib/memtrace/libmemtrace.so", "");
  std::filesystem::copy_file(MEMTRACE_PROGRAM, tree.In("/usr/bin/memtrace"));
  FILE* pipe = popen((tree.In("/usr/bin/memtrace") + " lib").c_str(), "r");
  char line[4096] = "";
  EXPECT_NE(fgets(line, sizeof(line), pipe), nullptr);
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(line, std::filesystem::canonical(tree.In("/usr/lib/memtrace/libmemtrace.so")).string() + "\n");
}

TEST(MemtraceProgram, TheBuildTreeIsComplete) {
  const std::string library = std::filesystem::canonical(MEMTRACE_LIBRARY).string();
  EXPECT_EQ(Memtrace({"lib"}).output, library + "\n");
  RecordedTree tree;
  const Outcome outcome =
      Memtrace({"run", "--quiet", "--dir", tree.In("/out"), "--", "sh", "-c", "cat /proc/$$/maps; exit 7"});
  EXPECT_EQ(outcome.exit_status(), 7);
  EXPECT_THAT(outcome.output, HasSubstr(library));
}

TEST(MemtraceInstall, CopiesWhatAnotherContainerNeeds) {
  RecordedTree tree;
  const std::string folder = tree.In("/new/volume");
  const Outcome outcome = Memtrace({"install", folder});
  EXPECT_EQ(outcome.exit_status(), 0) << outcome.errors;
  EXPECT_EQ(outcome.output, folder + "/libmemtrace.so\n");
  const std::string library = std::filesystem::canonical(MEMTRACE_LIBRARY).string();
  const std::pair<const char*, std::string> files[] = {
      {"/memtrace", MEMTRACE_PROGRAM},
      {"/libmemtrace.so", library},
      {"/libmemtrace-late.so", library.substr(0, library.rfind(".so")) + "-late.so"}};
  for (const auto& [name, original] : files) EXPECT_TRUE(Content(folder + name) == Content(original)) << name;
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 3);
}

TEST(MemtraceEnv, SaysWhatHolds) {
  const Outcome outcome = Memtrace(
      {"env"}, {"MEMTRACE_SAMPLE=64KiB", "MEMTRACE_TERMINATION_LOG=/dev/termination-log", "MEMTRACE_DEPTH=\x1b[31m"});
  EXPECT_EQ(outcome.exit_status(), 0);
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("MEMTRACE_SAMPLE=64KiB\n"), HasSubstr("MEMTRACE_BUDGET=1%  # default\n"),
                    HasSubstr("MEMTRACE_TERMINATION_LOG=/dev/termination-log\n"),
                    HasSubstr("MEMTRACE_DEPTH=128  # default\n"), HasSubstr("MEMTRACE_DIR=/tmp/memtrace")));
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("MEMTRACE_DEPTH"), Not(HasSubstr("\x1b"))));
  EXPECT_EQ(std::count(outcome.errors.begin(), outcome.errors.end(), '\n'), 1);
}

TEST(MemtraceEnv, AnUnknownVariableIsNamedWithTheNearestOne) {
  const Outcome outcome = Memtrace({"env"}, {"MEMTRACE_SAMPEL=1"});
  EXPECT_EQ(outcome.exit_status(), 0);
  EXPECT_THAT(outcome.errors, AllOf(HasSubstr("MEMTRACE_SAMPEL"), HasSubstr("MEMTRACE_SAMPLE")));
}

TEST(MemtraceCheck, ExitStatusAndOneLine) {
  RecordedTree tree;
  tree.Write("/proc/self/cgroup", "0::/\n")
      .Write("/proc/self/mountinfo", "30 22 0:26 / /cg ro - cgroup2 cgroup2 rw\n")
      .Write("/cg/memory.max", "1000\n")
      .Write("/cg/memory.current", "900\n")
      .Write("/cg/memory.stat", "inactive_file 150\n");
  const auto check = [&](Words words) {
    words.insert(words.begin(), {"check", "--root", tree.root()});
    return Memtrace(words);
  };
  EXPECT_EQ(check({}).exit_status(), 0);
  EXPECT_EQ(check({"--threshold", "75"}).exit_status(), 1);
  EXPECT_EQ(check({"--threshold", "75.5%"}).exit_status(), 0);
  EXPECT_EQ(check({"--usage"}).exit_status(), 1);
  EXPECT_EQ(check({"--pid", "4000000"}).exit_status(), 2);
  EXPECT_EQ(check({"--threshold", "x"}).exit_status(), 2);
  EXPECT_EQ(check({"--threshold", "101"}).exit_status(), 2);
  const std::string line = check({}).output;
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_THAT(line, HasSubstr("75.0%"));
}

}  // namespace
}  // namespace memtrace
