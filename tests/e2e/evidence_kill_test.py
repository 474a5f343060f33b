"""Real kills at the limit of a memory cgroup: the kernel's log and the recording together lead to the right verdict."""

import os
import subprocess
import sys

import harness
from kernel_log import KernelLog
from memory_cgroup import MemoryCgroup

MIB = 1 << 20
LIMIT_BYTES = 48 * MIB
SIGKILLED = -9


class Killed(harness.Case):
    def setUp(self):
        super().setUp()
        self.log = KernelLog()
        self.cgroup = MemoryCgroup(LIMIT_BYTES)
        self.addCleanup(self.empty_cgroup)

    def empty_cgroup(self):
        # Children of a killed process live on.
        with open(os.path.join(self.cgroup.directory, "cgroup.procs")) as file:
            for pid in file.read().split():
                os.kill(int(pid), 9)
        self.cgroup.__exit__()

    def hog(self, kind, *arguments, preload=True, enter=None, **start):
        # Thousands of samples of what fills the limit: what the heap does is not left to chance here.
        env = {"MEMTRACE_SAMPLE": "16KiB", "MEMTRACE_FOLLOW": "none"}
        return self.start(harness.program("hog"), kind, *arguments, env=env, preload=preload,
                          preexec_fn=enter or self.cgroup.enter, **start)

    def killed(self, process):
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual(process.returncode, SIGKILLED, out + err)

    def evidence(self):
        path = os.path.join(self.work, "kernel.log")
        with open(path, "w") as file:
            file.write(self.log.since())
        return path

    def verdict_on(self, process, symbols=False):
        """The report on the kill of `process`, whose kill must be found."""
        report = self.report(self.recordings, self.evidence(), symbols=symbols)
        kills = [kill for kill in report["oom"]["kills"] if kill["pid"] == process.pid]
        self.assertEqual(len(kills), 1, report["oom"])
        self.assertEqual((kills[0]["comm"], kills[0]["scope"], kills[0]["is_target"]), ("hog", "memcg", True))
        self.assertEqual(report["target"]["pid"], process.pid)
        return report

    def assert_cause(self, report, cause, *confidences):
        verdict = report["verdict"]
        self.assertEqual(verdict["cause"], cause, verdict)
        self.assertIn(verdict["confidence"], confidences or ("confirmed", "likely"), verdict)
        self.assertTrue(any("kernel.log:" in line for line in verdict["evidence"]), verdict)

    def run_hog(self, kind, *arguments, symbols=False):
        def run():
            process = self.hog(kind, *arguments)
            self.killed(process)
            return process
        return self.verdict_on(self.reported(run), symbols)

    def reported(self, run):
        """The killed process that run() returns; once more if other kills have used up the kernel's patience."""
        process = run()
        if not self.log.reports_fully(process.pid):
            self.log.let_it_report_again()
            process = run()
        return process


class Causes(Killed):
    def test_native_leak(self):
        report = self.run_hog("leak", symbols=True)
        self.assert_cause(report, "native-leak")
        self.assertIn("KeepForEver", [frame["function"] for frame in report["suspects"][0]["stack"]])
        self.assertIn("48.0 MiB", report["verdict"]["summary"])
        kill = next(kill for kill in report["oom"]["kills"] if kill["is_target"])
        self.assertEqual(kill["limit_kb"], LIMIT_BYTES >> 10)
        # Kills may come a few pages before the last is taken.
        self.assertAlmostEqual(kill["usage_kb"], LIMIT_BYTES >> 10, delta=256)

    def test_limit_too_low(self):
        report = self.run_hog("large-job")
        self.assert_cause(report, "limit-too-low", "likely", "possible")
        self.assertGreater(report["verdict"]["recommended_limit_bytes"], LIMIT_BYTES)
        self.assertIn("docker run --memory=60m --memory-swap=60m", report["verdict"]["advice"])

    def test_tmpfs(self):
        report = self.run_hog("write", "/dev/shm")
        self.assert_cause(report, "shmem", "confirmed")
        self.assertTrue(any("ruled out, page-cache" in line for line in report["verdict"]["evidence"]))

    def test_page_cache(self):
        report = self.run_hog("lock-file", self.work)
        self.assert_cause(report, "page-cache", "confirmed")

    def test_kernel_memory(self):
        report = self.run_hog("pipes")
        self.assert_cause(report, "kernel-memory", "confirmed")

    def test_thread_stacks(self):
        report = self.run_hog("threads")
        self.assert_cause(report, "threads-or-processes")
        self.assertIn("threads", report["verdict"]["summary"])

    def test_memory_of_mmap(self):
        report = self.run_hog("mmap")
        self.assert_cause(report, "untracked-anon")

    def test_fork_bomb(self):
        process = self.hog("fork")
        harness.wait_until(lambda: "Killed process" in self.log.since(), what="the kill")
        self.empty_children(process)
        report = self.report(self.evidence())
        self.assert_cause(report, "threads-or-processes", "confirmed")
        # The kernel's table of tasks, or a storm of kills.
        self.assertRegex(report["verdict"]["summary"], r"\d\d processes (share the limit of 48.0 MiB|named hog were killed)")

    def empty_children(self, process):
        process.kill()
        process.wait()


class Whose(Killed):
    def test_another_process(self):
        def as_victim():
            self.cgroup.enter()
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
        hogs = []

        def run():
            victim = self.hog("wait", enter=as_victim)
            harness.wait_until(lambda: self.files(".rec", of=victim.pid), what="the recording")
            hogs.append(self.hog("leak", preload=False))
            self.killed(victim)
            hogs[-1].kill()
            hogs[-1].wait()
            return victim
        report = self.verdict_on(self.reported(run))
        self.assert_cause(report, "other-process", "confirmed")
        self.assertIn(f"(pid {hogs[-1].pid})", report["verdict"]["summary"])

    def test_the_limit_of_an_ancestor(self):
        inner = os.path.join(self.cgroup.directory, "inner")
        with open(os.path.join(self.cgroup.directory, "cgroup.subtree_control"), "a") \
                if os.path.exists(os.path.join(self.cgroup.directory, "cgroup.subtree_control")) else open(os.devnull, "w") as file:
            file.write("+memory")
        os.mkdir(inner)
        self.addCleanup(os.rmdir, inner)
        with open(os.path.join(inner, os.path.basename(self.cgroup.limit_file)), "w") as file:
            file.write(str(2 * LIMIT_BYTES))

        def enter():
            with open(os.path.join(inner, "cgroup.procs"), "w") as file:
                file.write(str(os.getpid()))
        def run():
            process = self.hog("leak", enter=enter)
            self.killed(process)
            return process
        report = self.verdict_on(self.reported(run))
        self.assert_cause(report, "ancestor-limit", "confirmed")
        self.assertIn("48.0 MiB", report["verdict"]["summary"])
        self.assertIn(os.path.basename(self.cgroup.directory), report["verdict"]["summary"])

    def test_somebody_else_killed_it(self):
        process = self.hog("wait")
        harness.wait_until(lambda: self.files(".rec"), what="the recording")
        process.kill()
        self.killed(process)
        report = self.report(self.recordings, self.evidence())
        self.assertFalse(any(kill["is_target"] for kill in report["oom"]["kills"]))
        self.assertIn(report["verdict"]["cause"], ("none", "unknown"))

    def test_without_a_recording_it_is_no_leak(self):
        process = self.hog("leak", preload=False)
        self.killed(process)
        report = self.report(self.evidence())
        self.assert_cause(report, "unknown", "possible")
        self.assertIsNone(report["totals"]["live_bytes"])
        self.assertEqual(report["sites"], [])
        self.assertIn("takes a recording", report["verdict"]["summary"])

    def test_the_text_fits_a_terminal(self):
        process = self.hog("leak")
        self.killed(process)
        done = subprocess.run([harness.REPORT, self.recordings, self.evidence()], capture_output=True, text=True, check=False,
                              timeout=harness.TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"^Verdict: native-leak \((confirmed|likely)\)$")
        self.assertIn(f"The kernel killed hog (pid {process.pid})", done.stdout)
        names = (self.recordings, self.work)  # of files, which cannot be broken
        self.assertEqual([line for line in lines if len(line) > 80 and not any(name in line for name in names)], [])


if __name__ == "__main__":
    harness.main()
