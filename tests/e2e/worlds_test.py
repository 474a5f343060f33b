"""Behaviours in worlds: the same library, the same programs, the same expectations everywhere.

    worlds_test.py [WORLD...]      default: those that need nothing but this machine and its packages

Each world is a test class, each behaviour a method whose first line of text is its row in docs/compatibility.md. The outcome
of each goes to E2E_WORLDS_OUT, from where scripts/compatibility makes the table.
"""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

import harness
import worlds
from worlds import ESTIMATE, EXACT, NOTHING

KEPT_BYTES = 2000 * 1000  # by leave.c
ENDINGS = (("return", 5), ("exit", 5), ("_exit", 5), ("quick_exit", 5), ("raw", 5), ("thread", 5), ("pthread_exit", 0),
           ("abort", -signal.SIGABRT), ("segv", -signal.SIGSEGV), ("kill", -signal.SIGKILL), ("term", -signal.SIGTERM))


class Behaviours(harness.Case):
    world = None

    def setUp(self):
        super().setUp()
        self.behaviour = self._testMethodName.removeprefix("test_")
        if self.behaviour in self.world.cannot:
            self.skipTest(self.world.cannot[self.behaviour])
        self.world.set_up(self)

    # --- The world ---

    def environment(self, preload=True, **variables):
        env = super().environment(preload, **{"LD_PRELOAD": self.world.library(), "MEMTRACE_QUIET": "1", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                                              **self.world.env, **variables})
        return self.world.environment(env)

    def start(self, *command, preload=True, env=None, **popen):
        inner = popen.pop("preexec_fn", None)

        def enter():
            self.world.enter(self)
            if inner:
                inner()

        return super().start(*self.world.command(command), preload=preload, env=env, preexec_fn=enter, **popen)

    def program(self, name):
        return self.world.program(name)

    def both(self, name, *arguments, status=0, **options):
        """The same output and status without and with the library; what it must be, too."""
        run = self.run_both(self.program(name), *arguments, **options)
        self.assertEqual(run.status, status)
        return run

    def exact_report(self, run, state="exited"):
        """The report where this world records everything, else None. Elsewhere the recording must be readable."""
        records = self.world.records
        if records == NOTHING:
            for path in self.files(".rec"):
                self.assertEqual(self.report(path)["totals"]["allocations"], 0)
            return None
        report = self.report(self.recording(run.pid))
        if state:
            self.assertEqual(report["recording"]["state"], state)
        if records == ESTIMATE:
            return None
        self.assert_exact(report)
        return report

    def clear(self):
        for path in self.files():
            if not path.endswith("filler"):
                os.unlink(path)

    def assert_own_count(self, name, *arguments):
        foreign = ["foreign"] if getattr(self.world, "foreign", False) else []
        start = self.exact_report(self.both(name, 1, 0, *foreign))
        for seed in (1, 2):
            self.clear()
            run = self.both(name, seed, 10_000, *arguments, *foreign)
            report = self.exact_report(run)
            if report:
                counted = json.loads(run.out)
                for key in counted:
                    counted[key] += start["totals"][key.removeprefix("peak_") if key.startswith("peak") else key]
                self.assertEqual(report["totals"], counted)

    def assert_kept(self, report, count, size):
        if report:
            found = sum(site["live_allocations"] for site in report["sites"] if site["live_bytes"] == size * site["live_allocations"])
            self.assertEqual(found, count)

    # --- The rows ---

    def test_malloc_family(self):
        """malloc family: every function, counted to the byte"""
        self.assert_own_count("malloc_family")

    def test_operator_new(self):
        """operator new and delete in every form, counted to the byte"""
        self.assert_own_count("operator_new")

    def test_handoff(self):
        """eight threads hand blocks over: none lost, none leaked"""
        program = self.program("handoff")
        start = self.run_program(program, 8, 0)
        before = self.exact_report(start)
        self.clear()
        run = self.run_program(program, 8, 20_000)
        self.assertEqual((run.status, run.err), (0, b""))
        report = self.exact_report(run)
        if report:
            counted = json.loads(run.out)
            for key in ("allocations", "allocated_bytes", "frees", "freed_bytes", "live_allocations", "live_bytes"):
                self.assertEqual(report["totals"][key], counted[key] + before["totals"][key], key)

    def test_short_threads(self):
        """threads that live for a millisecond"""
        self.assert_kept(self.exact_report(self.both("short_threads", 2000, 4)), 2000, 32)

    def test_early_allocation(self):
        """allocations before the library is initialised"""
        self.assert_kept(self.exact_report(self.both("early_allocation")), 1000, 100)

    def test_late_allocation(self):
        """allocations in destructors and after them"""
        report = self.exact_report(self.both("late_allocation", 4))
        for size, count in ((101, 4), (103, 16), (107, 1), (109, 1), (113, 1)):
            self.assert_kept(report, count, size)

    def test_fork(self):
        """a forked child frees blocks of its parent"""
        run = self.both("fork_once", "return")
        report = self.exact_report(run)
        self.assert_kept(report, 100, 1000)
        if report:
            child = self.report(next(path for path in self.files(".rec") if f".{run.pid}." not in path))
            self.assert_exact(child)
            self.assertEqual(child["totals"]["live_bytes"], 5000)

    def test_fork_storm(self):
        """forks while other threads are inside malloc"""
        self.exact_report(self.both("fork_storm", 3, 60))

    def test_spawn(self):
        """vfork, posix_spawn, system"""
        for how in ("vfork", "posix_spawn", "system"):
            with self.subTest(how=how):
                run = self.both("spawn", how, self.program("leave"), "return", status=5 if how != "system" else 2)
                report = self.exact_report(run)
                if report:
                    self.assertTrue([path for path in self.files(".rec") if os.path.basename(path).startswith("leave.")])
                self.clear()

    def test_exec_over_itself(self):
        """exec over itself: each image has its recording"""
        run = self.both("exec_over_itself", 2, 1 << 20)
        if self.world.records == EXACT:
            states = sorted(self.report(path)["recording"]["state"] for path in self.files(".rec", run.pid))
            self.assertEqual(states, ["exec", "exec", "exited"])

    def test_endings(self):
        """every way to end: status kept, nothing lost"""
        for how, status in ENDINGS:
            with self.subTest(how=how):
                report = self.exact_report(self.both("leave", how, status=status), state=None)
                if report:
                    self.assertEqual(report["recording"]["state"], "killed" if status < 0 or how == "raw" else "exited")
                    self.assertGreaterEqual(report["totals"]["live_bytes"], KEPT_BYTES)
                self.clear()

    def test_load_and_unload(self):
        """libraries come and go at one address while others allocate"""
        plugins = [self.program(f"libplugin_{letter}.so") for letter in "AB"]
        self.exact_report(self.both("load_and_unload", 2, 60, *plugins))

    def test_thread_locals_of_libraries(self):
        """thread-local variables of libraries that are unloaded"""
        self.exact_report(self.both("thread_locals_of_libraries", 4, 20, self.program("libthread_local_plugin.so")))

    def test_deep_binding(self):
        """RTLD_DEEPBIND and $ORIGIN"""
        self.exact_report(self.both("deep_binding", self.program("libmaker_user.so")))

    def test_under_loader_lock(self):
        """allocation and exit under the loader's lock"""
        for how in ("return", "exit", "_exit"):
            with self.subTest(how=how):
                run = self.both("under_loader_lock", how, status=5)
                self.exact_report(run, state=None) if how == "return" else None
                self.clear()

    def test_own_loader_functions(self):
        """a program with its own dlsym and dl_iterate_phdr"""
        self.assert_kept(self.exact_report(self.both("own_loader_functions")), 1000, 100)

    def test_odd_stacks(self):
        """contexts, alternate stacks, longjmp, exceptions"""
        report = self.exact_report(self.both("odd_stacks"))
        for size in range(201, 208):
            self.assert_kept(report, 200, size)

    def test_lost_descriptors(self):
        """the program closes and takes all descriptors"""
        self.exact_report(self.both("lost_descriptors", 20_000, 1))

    def test_usable_size(self):
        """malloc_usable_size stays true"""
        self.exact_report(self.both("usable_size")) if not getattr(self.world, "foreign", False) else self.same_twice("usable_size")

    def same_twice(self, name):
        """Aligned blocks of other allocators vary from run to run: compared with the recorded run alone."""
        bare, recorded = (self.run_program(self.program(name), preload=preload) for preload in (False, True))
        self.assertEqual((bare.status, bare.out), (recorded.status, recorded.out))

    def test_own_handler(self):
        """the program's own handler of SIGUSR2"""
        for mode in ("sigaction", "siginfo", "signal", "masked", "resethand", "ignore", "twice"):
            with self.subTest(mode=mode):
                calls = []
                for preload in (False, True):
                    process = self.start(self.program("own_handler"), mode, preload=preload, stdin=subprocess.PIPE)
                    self.await_line(process)
                    process.send_signal(signal.SIGUSR2)
                    time.sleep(0.05)
                    calls.append((process.communicate(b"?", timeout=harness.TIMEOUT_S), process.returncode))
                self.assertEqual(calls[0], calls[1])

    def busy(self):
        process = self.start(self.program("busy"), 2, stdin=subprocess.PIPE)
        self.await_line(process)
        return process

    def finish_busy(self, process):
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))

    def check_snapshot(self):
        if self.world.records != NOTHING:
            found = harness.wait_until(lambda: self.files(".snap") or self.world.records == ESTIMATE, what="a snapshot")
            for path in self.files(".snap"):
                self.assertEqual(self.report(path)["recording"]["state"], "snapshot")
                if self.world.records == EXACT:
                    self.assertGreater(self.report(path)["totals"]["live_bytes"], 150_000)
            self.assertTrue(found)

    def test_snapshot_by_signal(self):
        """SIGUSR2 takes a snapshot of a busy program"""
        process = self.busy()
        process.send_signal(signal.SIGUSR2)
        self.check_snapshot() if self.world.records != NOTHING else time.sleep(0.1)
        self.finish_busy(process)

    def test_snapshot_from_outside(self):
        """memtrace snapshot, without a signal"""
        process = self.busy()
        done = subprocess.run([harness.TOOL, "snapshot", str(process.pid)], capture_output=True, text=True, check=False)
        if "CAP_SYS_PTRACE" in done.stderr:
            self.skipTest("root may not look at processes of others here: CAP_SYS_PTRACE is missing")
        if self.world.records == EXACT:
            self.assertEqual(done.returncode, 0, done.stderr)
            self.check_snapshot()
        else:
            self.assertIn(done.returncode, (0, 1))
        self.finish_busy(process)

    def test_tight_stacks(self):
        """SIGUSR2 on the smallest stacks of threads and alternate stacks of 8 KiB"""
        for kind, size in (("thread", self.world.smallest_stack), ("alternate", 8192)):
            with self.subTest(kind=kind):
                process = self.start(self.program("tight_stack"), kind, size)
                self.await_line(process)
                process.send_signal(signal.SIGUSR2)
                out, err = process.communicate(timeout=harness.TIMEOUT_S)
                self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))

    def test_storm(self):
        """a storm of SIGUSR2 during malloc and fork"""
        for what in ("malloc", "fork"):
            with self.subTest(what=what):
                process = self.start(self.program("under_storm"), what, 1, env={"MEMTRACE_KEEP": "auto"})
                self.await_line(process)
                while process.poll() is None:
                    process.send_signal(signal.SIGUSR2)
                    time.sleep(0.005)
                out, err = process.communicate(timeout=harness.TIMEOUT_S)
                self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))
                self.clear()

    def test_kill(self):
        """SIGKILL at a random moment: the recording opens"""
        for delay in (0.02, 0.1, 0.3):
            process = self.start(self.program("survivor"), os.path.join(self.work, "ledger"))
            self.await_line(process)
            time.sleep(delay)
            process.kill()
            process.wait()
            if self.world.records != NOTHING:
                self.assertEqual(self.report(self.recording(process.pid))["recording"]["state"], "killed")
            self.clear()

    def test_real_programs(self):
        """shell, grep, sed, perl: the same output"""
        script = "for i in 1 2 3; do echo $i $(echo a$i | sed s/a/b/ | grep b); done; ls / | wc -l; (exit 3) || echo $?"
        self.assertEqual(self.run_both("/bin/sh", "-c", script).status, 0)
        perl = "my %h; $h{$_ % 977} .= chr(65 + $_ % 26) for 1..60000; print length(join '', map { $h{$_} } sort keys %h), qq(\\n)"
        self.assertEqual(self.run_both("/usr/bin/perl", "-e", perl).out, b"60000\n")

    def test_static_helper(self):
        """memtrace run, the static helper"""
        run = self.run_program(harness.TOOL, "run", "--library", self.world.library(), "--quiet", "--", self.program("leave"), "return",
                               env={"LD_PRELOAD": None})
        self.assertEqual((run.status, run.out, run.err), (5, b"", b""))
        if self.world.records == EXACT:
            self.assertGreaterEqual(self.report(self.recording(run.pid))["totals"]["live_bytes"], KEPT_BYTES)

    def test_says_so(self):
        """what cannot be recorded is said"""
        run = self.run_program(self.program("leave"), "return", env={"MEMTRACE_QUIET": "0"})
        self.assertEqual(run.status, 5)
        if self.world.records != NOTHING:
            self.assertEqual(run.err, b"")
        elif hasattr(self.world, "allocator"):
            done = subprocess.run([harness.REPORT, "--no-symbols", self.recordings], capture_output=True, text=True, check=True)
            self.assertIn("stands before memtrace", " ".join(done.stdout.split()))
        else:
            self.assertEqual(run.err.count(b"\n"), 1, run.err)
            self.assertTrue(run.err.startswith(b"memtrace: "), run.err)


class Outcomes(unittest.TextTestResult):
    """Keeps what became of each cell of the table: [word, reason]."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.cells = {}

    def note(self, test, word, reason=""):
        test = getattr(test, "test_case", test)  # of a subtest
        self.cells.setdefault(test.id().split(".")[-1].removeprefix("test_"), [word, reason])

    def addSuccess(self, test):  # noqa: N802, unittest's name
        super().addSuccess(test)
        world = test.world
        self.note(test, {EXACT: "yes", ESTIMATE: "estimated", NOTHING: "runs"}[world.records], getattr(world, "why", ""))

    def addSkip(self, test, reason):  # noqa: N802
        super().addSkip(test, reason)
        self.note(test, "no", reason)

    def addFailure(self, test, err):  # noqa: N802
        super().addFailure(test, err)
        self.note(test, "FAILED", str(err[1]).splitlines()[0])

    addError = addFailure  # noqa: N815

    def addSubTest(self, test, subtest, err):  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(subtest, "FAILED", str(err[1]).splitlines()[0])


def rows():
    """(behaviour, title) in the order of this file."""
    return [(name.removeprefix("test_"), function.__doc__.splitlines()[0])
            for name, function in vars(Behaviours).items() if name.startswith("test_")]


def run_world(world, mounts_refused):
    """Runs all behaviours in one world. Returns (nothing failed, what goes into the table)."""
    record = {"name": world.name, "title": world.title, "cells": {}, "skipped": ""}
    try:
        if world.needs_root and os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        if world.needs_mounts and mounts_refused:
            raise unittest.SkipTest(f"no mount namespace: {mounts_refused}")
        world.prepare()
    except (unittest.SkipTest, OSError) as error:
        print(f"{world.name}: skipped: {error}", flush=True)
        return True, record | {"skipped": str(error)}
    only = os.environ.get("E2E_WORLDS_BEHAVIOUR", "").split()
    suite = unittest.TestSuite()
    kind = type(world.name, (Behaviours,), {"world": world})
    for name, _ in rows():
        if not only or name in only:
            suite.addTest(kind("test_" + name))
    print(f"--- {world.title}", flush=True)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Outcomes).run(suite)
    world.finish()
    return result.wasSuccessful(), record | {"cells": result.cells}


def main():
    chosen = sys.argv[1:]
    known = {world.name: world for world in [*worlds.DEFAULT, *worlds.RELEASES, *worlds.EMULATED]}
    mounts_refused = None
    selected = [known[name] for name in chosen] if chosen else worlds.DEFAULT
    if os.geteuid() == 0:
        try:
            worlds.own_mounts()
        except OSError as error:
            mounts_refused = error
    good = True
    out = os.environ.get("E2E_WORLDS_OUT")
    for world in selected:
        fine, record = run_world(world, mounts_refused)
        good = good and fine
        if out:
            os.makedirs(out, exist_ok=True)
            with open(os.path.join(out, world.name + ".json"), "w", encoding="utf-8") as file:
                json.dump(record, file, indent=1)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
