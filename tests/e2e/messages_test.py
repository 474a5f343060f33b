"""Every subcommand as somebody uses it who does not know it yet: what goes wrong is said in a line, with what to do next."""

import os
import subprocess

import harness
import memory_cgroup

NOBODY = 65534
NO_PROCESS = "4194304"  # above the largest process id

# Arguments ({} is a directory of the test), exit status, what the message must hold.
WRONG_PROCESS = [
    (["snapshot", NO_PROCESS], 1, ["no process " + NO_PROCESS, "`ps -e`"]),
    (["attach", NO_PROCESS], 1, ["no process", "`ps -e`"]),
    (["detach", NO_PROCESS], 1, ["no process", "`ps -e`"]),
    (["collect", NO_PROCESS, "-o", "{}/out"], 1, ["no process", "`ps -e`"]),
    (["monitor", NO_PROCESS], 1, ["no process", "`ps -e`"]),
    (["check", "--pid", NO_PROCESS], 2, ["no process", "`ps -e`"]),
    (["doctor", NO_PROCESS], 2, ["no process", "`ps -e`"]),
]
NO_RUNTIME = [
    (["snapshot", "web"], 1, ["`web`", "docker ps -a", "podman"]),
    (["attach", "web"], 1, ["`web`", "docker ps -a"]),
    (["monitor", "web"], 1, ["`web`", "docker ps -a"]),
    (["collect", "web", "-o", "{}/out"], 1, ["`web`", "start docker or podman, or name a process"]),
]
MISSING_FILES = [
    (["run", "--library", "{}/none.so", "--", "true"], 125, ["cannot read", "none.so: No such file"]),
    (["run", "--", "{}/none"], 127, ["none: No such file"]),
    (["run", "--", "{}"], 126, ["Permission denied"]),
    (["attach", "--library", "{}/none.so", "1"], 1, ["cannot read", "none.so: No such file"]),
    (["inject", "docker", "--library", "{}/none.so"], 1, ["cannot read", "none.so: No such file"]),
    (["inject", "kubernetes", "{}/none.yaml"], 1, ["none.yaml: No such file"]),
    (["inject", "compose", "{}/none.yaml", "--service", "web"], 1, ["none.yaml: No such file"]),
    (["inject", "docker", "--", "ls"], 1, ["docker run"]),
    (["install", "/proc/nowhere"], 1, ["/proc/nowhere"]),
    (["snapshot", "1", "-o", "{}/none"], 2, ["--output", "none"]),
    (["doctor", "{}/none"], 2, ["none: No such file"]),
]
USAGE = [
    ([], 2, ["SUBCOMMAND", "`memtrace --help`"]),
    (["frobnicate"], 2, ["frobnicate", "`memtrace --help`"]),
    (["attach"], 2, ["PID", "`memtrace attach --help`"]),
    (["snapshot", ""], 2, ["process or container", "`memtrace snapshot --help`"]),
    (["collect", "web"], 2, ["--output", "`memtrace collect --help`"]),
    (["inject", "compose", "x"], 2, ["--service", "`memtrace inject compose --help`"]),
    (["inject"], 2, ["`memtrace inject --help`"]),
    (["run"], 2, ["PROGRAM", "`memtrace run --help`"]),
    (["run", "--sample", "many", "--", "true"], 2, ["--sample", "`many`"]),
    (["monitor", "--interval", "x"], 2, ["--interval", "5s"]),
    (["check", "--pid", "web"], 2, ["--pid", "`web` is no process id", "`memtrace check --help`"]),
    (["monitor", "--count", "-1"], 2, ["--count", "`-1` is no number of rows", "`memtrace monitor --help`"]),
    (["monitor", "/nope"], 1, ["no memory cgroup /nope", "/proc/PID/cgroup"]),
    (["check", "--pid", "0"], 2, ["`0` is no process id"]),
    (["snapshot", "9" * 5000], 1, ["docker ps -a"]),
    (["inject", "docker", "--volume", "a b"], 2, ["--volume", "small letters"]),
]
REPORT = [
    (["{}/none"], 1, ["none: No such file"]),
    (["{}"], 1, ["no recording", "`memtrace doctor PROGRAM`"]),
    (["/etc/passwd"], 1, ["/etc/passwd is neither a recording nor"]),
    ([], 2, ["PATH", "--help"]),
    (["--metric", "much", "{}"], 2, ["--metric"]),
]


class Messages(harness.Case):
    def check(self, cases, program=harness.TOOL, **run):
        for arguments, status, parts in cases:
            arguments = [argument.replace("{}", self.work) for argument in arguments]
            with self.subTest(" ".join(arguments)):
                done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                                      timeout=harness.TIMEOUT_S, **run)
                said = done.stderr + (done.stdout if "check" in arguments else "")
                self.assertEqual(done.returncode, status, said)
                for part in parts:
                    self.assertIn(part, said)
                self.assertLessEqual(said.count("\n"), 2)
                self.assertEqual(os.listdir(self.work), [])

    def test_wrong_process(self):
        self.check(WRONG_PROCESS)

    def test_neither_docker_nor_podman(self):
        self.check(NO_RUNTIME, env={"PATH": "/nonexistent"})

    def test_missing_files(self):
        self.check(MISSING_FILES)

    def test_usage(self):
        self.check(USAGE)

    def test_a_plot_that_cannot_be_written(self):
        memory_cgroup.need_any()
        self.check([(["monitor", "--plot", "{}/none/x", "--interval", "24h", "1"], 1, ["cannot write", "none/x: No such file"])])

    def test_report(self):
        self.check(REPORT, program=harness.REPORT)

    def test_no_permission(self):
        if os.getuid() != 0:
            self.skipTest("only root can become somebody else")
        mine = str(self.start("/bin/sleep", "100", preload=False).pid)
        os.chmod(self.work, 0o755)
        self.check([(["snapshot", mine], 1, ["may not be read", "as root"]), (["doctor", mine], 2, ["may not be looked at", "as root"]),
                    (["attach", mine], 1, ["may not be traced", "--cap-add SYS_PTRACE"])],
                   preexec_fn=lambda: os.setuid(NOBODY))

    def test_not_recorded(self):
        pid = str(self.start("/bin/sleep", "100", preload=False).pid)
        self.check([(["snapshot", pid], 1, ["is not recorded", "`memtrace attach " + pid + "`"]),
                    (["detach", pid], 1, ["memtrace was never attached to it"])])

    def test_what_belongs_to_others(self):
        if os.getuid() != 0:
            self.skipTest("only root can become somebody else")
        pid = str(self.start("/bin/sleep", "100", preload=False).pid)
        own = os.path.join(self.root, "own")
        os.mkdir(own)
        os.chown(own, NOBODY, NOBODY)
        self.assertEqual(self.run_program("/bin/true").status, 0)
        become = {"preexec_fn": lambda: os.setuid(NOBODY)}
        self.check([(["collect", pid, "-o", own], 1, ["may not be read: Permission denied", "as root"]),
                    (["collect", "1", "-o", "/root/out"], 1, ["Permission denied"]),
                    (["attach", pid], 1, ["may not be traced (Permission denied)"]),
                    (["install", "/root/memtrace"], 1, ["Permission denied", "name another directory"])], **become)
        self.assertEqual(os.listdir(own), [])
        self.check([([self.recording()], 1, ["Permission denied", "only its user and root may read"])], program=harness.REPORT, **become)

    def test_a_runtime_that_does_not_answer(self):
        """As docker says it to who is not in its group."""
        folder = os.path.join(self.root, "bin")
        os.mkdir(folder)
        with open(folder + "/docker", "w", encoding="utf-8") as docker:
            docker.write("#!/bin/sh\necho 'permission denied while trying to connect to the Docker daemon socket' >&2\nexit 1\n")
        os.chmod(folder + "/docker", 0o755)
        self.check([(arguments, 1, ["`web`", "docker says: permission denied while"]) for arguments in (
            ["attach", "web"], ["snapshot", "web"], ["monitor", "web"], ["collect", "web", "-o", "{}/out"])],
                   env={"PATH": folder + ":/usr/bin:/bin"})

    def test_output_that_does_not_arrive(self):
        process = self.start(harness.program("on_command"), stdin=subprocess.PIPE)
        self.await_line(process)
        for arguments in (["lib"], ["env"], ["--version"], ["run", "--help"], ["doctor", "/bin/true"], ["inject", "docker"],
                          ["snapshot", str(process.pid)], ["install", self.root + "/installed"]):
            with self.subTest(" ".join(arguments)), open("/dev/full", "wb") as full:
                done = subprocess.run([harness.TOOL, *arguments], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True,
                                      check=False, timeout=harness.TIMEOUT_S)
                self.assertEqual((done.returncode, done.stderr), (1, "memtrace: cannot write to standard output: No space left on device\n"))
        for arguments in (["--json"], ["--html"], [], ["--help"]):
            with self.subTest(" ".join(arguments)):
                done = subprocess.run([harness.REPORT, *arguments, self.recording()], stderr=subprocess.PIPE, text=True, check=False,
                                      preexec_fn=lambda: os.close(1), timeout=harness.TIMEOUT_S)
                self.assertEqual((done.returncode, done.stderr),
                                 (1, "memtrace-report: cannot write to standard output: Bad file descriptor\n"))

    def test_without_its_library(self):
        """The helper alone, as somebody copies it out of an image; what to do is said in one way."""
        tool = os.path.join(self.root, "memtrace")
        with open(harness.TOOL, "rb") as original, open(tool, "wb") as copy:
            copy.write(original.read())
        os.chmod(tool, 0o755)
        self.check([(arguments, status, ["there is no libmemtrace.so", "name one with --library"]) for arguments, status in (
            (["run", "--", "true"], 125), (["attach", "1"], 1), (["lib"], 1), (["install", "{}"], 1), (["inject", "docker"], 1))],
                   program=tool)


if __name__ == "__main__":
    harness.main()
