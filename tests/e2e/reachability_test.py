"""Lost blocks: MEMTRACE_REACHABILITY=1 and memtrace snapshot --reachability."""

import collections
import errno
import os
import re
import resource
import signal
import shutil
import subprocess
import sys
import unittest

import harness
import memory_cgroup
import seccomp

NOBODY = 65534
CLONE_PARENT, CLONE_THREAD = 0x8000, 0x10000

# A thread of its own keeps the interpreter busy; the main one says what it sees of children.
WAITS = """
import os, sys, threading
stop = threading.Event()
def work():
    kept = []
    while not stop.is_set():
        kept.append([object() for _ in range(100)])
        del kept[:-50]
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
print("ready", flush=True)
sys.stdin.read()
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("no child")
stop.set()
for thread in threads: thread.join()
"""


def of_program(frames):
    """The function that a site of lost_blocks.c stands for."""
    names = [name for name in frames if re.match(r"(Keep|Lose)[A-Z]", name or "")]
    return names[0] if names else frames[0]


class Looking(harness.Case):
    ASKED = {"MEMTRACE_REACHABILITY": "1"}

    def settled(self, path, symbols=True):
        """The report of a snapshot, when the search has ended."""
        def look():
            report = self.report(path, symbols=symbols)
            return report if report["recording"]["reachability"]["state"] != "under-way" else None
        return harness.wait_until(look, what="the end of the search")

    def snapshot_of(self, process, count=1):
        process.send_signal(signal.SIGUSR2)
        harness.wait_until(lambda: len(self.files(".snap")) == count, what="the snapshot")
        return self.files(".snap")[-1]

    def look_at(self, *command, env=None):
        """A program that says "ready" and waits; its report with lost blocks, and the process."""
        process = self.start(*command, env={**self.ASKED, **(env or {})}, stdin=subprocess.PIPE)
        self.await_line(process)
        return self.settled(self.snapshot_of(process)), process

    def end(self, process):
        process.stdin.close()
        process.stdin = None
        _, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, err), (0, b""))


class Reachability(Looking):
    @staticmethod
    def lost_by_function(report):
        lost = collections.Counter()
        for site in report["sites"]:
            if site["lost_allocations"]:
                lost[of_program([frame["function"] for frame in site["stack"]])] += site["lost_bytes"]
        return dict(lost)

    EXPECTED = {"LoseOne": 176, "LoseLarge": 300_000, "LoseChain": 1040, "LoseCycle": 208, "LoseReallocated": 5000,
                "LoseBehindFreed": 120, "LoseInThread": 168}

    def test_every_way_to_reach_a_block(self):
        report, process = self.look_at(harness.program("lost_blocks"))
        looked = report["recording"]["reachability"]
        self.assertEqual((looked["state"], looked["error"]), ("done", None))
        self.assertGreater(looked["pause_s"], 0)
        self.assertEqual(self.lost_by_function(report), self.EXPECTED)
        self.assertEqual(report["recording"]["reachability"]["lost_bytes"], sum(self.EXPECTED.values()))
        self.assertEqual(report["recording"]["reachability"]["lost_allocations"], 18)
        self.end(process)
        # What is lost stays lost: the recording, which goes on, takes it over.
        later = self.report(self.recordings, symbols=True)
        self.assertEqual(later["recording"]["state"], "exited")
        self.assertEqual(self.lost_by_function(later), self.EXPECTED)

    def test_leak_sanitizer_says_the_same(self):
        program = harness.program("lost_blocks_sanitized")
        if not os.path.exists(program):
            self.skipTest("the compiler has no LeakSanitizer")
        run = self.run_program(program, preload=False)
        text = run.err.decode()
        if "SUMMARY: LeakSanitizer" not in text:
            self.skipTest("LeakSanitizer does not work here: " + (text.strip().splitlines() or ["no output"])[-1])
        lost = collections.Counter()
        for size, stack in re.findall(r"leak of (\d+) byte.*?\n((?: +#.*\n)+)", text):
            lost[of_program(re.findall(r" in (\w+) ", stack))] += int(size)
        # Where it does not look.
        self.assertEqual(dict(lost), {**self.EXPECTED, "KeepInMapping": 184})

    def test_sampled_blocks_are_lost_only_if_they_are(self):
        report, process = self.look_at(harness.program("lost_blocks"), env={"MEMTRACE_SAMPLE": "100"})
        self.assertEqual(report["recording"]["reachability"]["state"], "done")
        names = set(self.lost_by_function(report))
        self.assertIn("LoseReallocated", names)  # recorded for certain
        self.assertLessEqual(names, set(self.EXPECTED))
        self.end(process)

    def test_musl(self):
        report, process = self.look_at(self.musl_program("lost_blocks"))
        self.assertEqual(report["recording"]["reachability"]["state"], "done")
        lost = self.lost_by_function(report)
        # Of another allocator free memory is not known, so that what it still points to is not lost.
        lost.setdefault("LoseBehindFreed", 120)
        lost.setdefault("LoseChain", lost.pop("NewNode", 0))  # stacks of musl programs may be short
        self.assertEqual(lost, self.EXPECTED)
        self.end(process)

    def test_the_program_sees_no_child_and_busy_threads_go_on(self):
        process = self.start(sys.executable, "-c", WAITS, env=self.ASKED, stdin=subprocess.PIPE)
        self.await_line(process)
        for count in (1, 2, 3):
            report = self.settled(self.snapshot_of(process, count), symbols=False)
            self.assertEqual(report["recording"]["reachability"]["state"], "done")
            # An interpreter in the middle of its work has lost next to nothing.
            self.assertLess(report["recording"]["reachability"]["lost_bytes"], report["totals"]["live_bytes"] / 20)
        process.stdin.close()
        process.stdin = None
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out, err), (0, b"no child\n", b""))

    def test_without_room_for_it_the_snapshot_is_there_all_the_same(self):
        process = self.start(harness.program("lost_blocks"), env=self.ASKED, stdin=subprocess.PIPE)
        self.await_line(process)
        with open(f"/proc/{process.pid}/status") as status:
            mapped = int(re.search(r"VmSize:\s+(\d+)", status.read()).group(1)) * 1024
        resource.prlimit(process.pid, resource.RLIMIT_AS, (mapped + (4 << 20), mapped + (4 << 20)))
        report = self.settled(self.snapshot_of(process))
        self.assertEqual(report["recording"]["reachability"],
                         {"state": "no-memory", "error": 12, "pause_s": None, "search_s": None, "lost_allocations": None, "lost_bytes": None})
        self.assertIsNone(report["recording"]["reachability"]["lost_bytes"])
        self.assertEqual({site["lost_bytes"] for site in report["sites"]}, {None})
        text = subprocess.run([harness.REPORT, self.files(".snap")[0]], capture_output=True, text=True).stdout
        self.assertIn("Which blocks are lost is not known", text)
        self.end(process)

    def test_asked_from_outside(self):
        process = self.start(harness.program("on_command"), stdin=subprocess.PIPE)
        self.await_line(process)
        for directory in (self.recordings, self.work):
            tool = self.start(harness.TOOL, "snapshot", "--reachability", process.pid,
                              *([] if directory == self.recordings else ["-o", directory]), preload=False)
            while tool.poll() is None:
                process.stdin.write(b"keep 100 200\n")
                process.stdin.flush()
                self.await_line(process, b"ok\n")
            out, err = tool.communicate(timeout=harness.TIMEOUT_S)
            self.assertEqual((tool.returncode, err), (0, b""))
            path = out.decode().strip()
            self.assertEqual(os.path.dirname(path), directory)
            report = self.report(path)
            self.assertEqual(report["recording"]["reachability"]["state"], "done")
            self.assertEqual(report["recording"]["reachability"]["lost_allocations"], 0)
        process.stdin.close()
        process.stdin = None
        self.assertEqual(process.wait(timeout=harness.TIMEOUT_S), 0)

    def test_nobody_asked(self):
        report = self.report(self.recording(self.run_program(harness.program("leave"), "return").pid))
        self.assertEqual(report["recording"]["reachability"]["state"], "not-looked")
        self.assertIsNone(report["recording"]["reachability"]["lost_allocations"])


class Refused(Looking):
    """Where it cannot be done the snapshot is whole all the same, says why, and the program goes on as if nothing had been tried."""

    def check_refused(self, state, error, words, *command, prepare=None, **popen):
        process = self.start(*(command or [harness.program("lost_blocks")]), env={**self.ASKED, "MEMTRACE_SNAPSHOT_AT": "none"},
                             stdin=subprocess.PIPE, **popen)
        self.await_line(process)
        if prepare:
            prepare(process)
        path = self.snapshot_of(process)
        report = self.settled(path)
        looked = report["recording"]["reachability"]
        self.assertEqual((looked["state"], looked["error"], looked["lost_bytes"]), (state, error, None))
        self.assertIn("LoseLarge", {frame["function"] for site in report["sites"] for frame in site["stack"]})
        self.assertEqual({suspect["lost_bytes"] for suspect in report["suspects"]} | {None}, {None})
        for option in ("--text", "--html"):
            done = subprocess.run([harness.REPORT, option, path], capture_output=True, text=True, timeout=harness.TIMEOUT_S, check=True)
            self.assertIn(words, " ".join(done.stdout.split()))
        self.end(process)
        return report

    def test_tracing_is_not_allowed(self):
        """As by a container's seccomp profile, Yama's ptrace_scope 2 or 3, or a security module."""
        self.check_refused("not-stopped", errno.EPERM, "the threads could not be stopped for it (Operation not permitted)",
                           preexec_fn=seccomp.refuse("ptrace", "EPERM"))

    @unittest.skipIf(os.getuid() != 0, "only root becomes somebody else")
    def test_not_dumpable(self):
        """What a user may execute but not read may not be traced by that user, as after prctl(PR_SET_DUMPABLE, 0)."""
        program = os.path.join(self.work, "lost_blocks")
        shutil.copy(harness.program("lost_blocks"), program)
        os.chmod(program, 0o711)
        os.mkdir(self.recordings)
        os.chown(self.recordings, NOBODY, NOBODY)
        self.check_refused("not-stopped", errno.EPERM, "the threads could not be stopped for it (Operation not permitted)", program,
                           user=NOBODY, group=NOBODY, extra_groups=[])

    def test_memory_for_the_copy_is_not_promised(self):
        """As with vm.overcommit_memory=2: the process that stops the threads shares their memory, the copy does not."""
        self.check_refused("no-copy", errno.ENOMEM, "the kernel refused to copy the process (Cannot allocate memory)",
                           preexec_fn=seccomp.refuse("clone", "ENOMEM", seccomp.EQUAL, CLONE_PARENT, True))

    def test_no_process_may_be_made(self):
        """As with a limit on processes, of the user or of the cgroup."""
        self.check_refused("no-copy", errno.EAGAIN, "the kernel refused to copy the process (Resource temporarily unavailable)",
                           preexec_fn=seccomp.refuse("clone", "EAGAIN", seccomp.ANY_BIT, CLONE_THREAD, False))

    def test_too_little_room_below_the_cgroups_limit(self):
        with memory_cgroup.MemoryCgroup(64 << 20) as cgroup:
            def leave_little_room(_):
                # The process holds more than a megabyte, and a copy needs at least two.
                with open(cgroup.usage_file, encoding="ascii") as file:
                    used = int(file.read())
                with open(cgroup.limit_file, "w", encoding="ascii") as file:
                    file.write(str(used + (1 << 20)))
            report = self.check_refused("no-memory", None, "too close to its memory limit for a copy of it", preexec_fn=cgroup.enter,
                                        prepare=leave_little_room)
            self.assertLess(report["cgroup"]["limit_bytes"], 64 << 20)


if __name__ == "__main__":
    harness.main()
