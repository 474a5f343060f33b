"""Storms of signals, of threads, of libraries; kills after each single instruction. Short here, long in storms_long_test.py."""

import contextlib
import os
import signal
import threading
import time

import harness

PER_SECOND = 1000


class Signals(harness.Case):
    """SIGUSR2 about 1,000 times a second while the program does something delicate."""

    seconds = 3

    def storm(self, what, *arguments, group=False):
        """Returns the recorded process. With `group`, children get the signals too."""
        process = self.start(harness.program("under_storm"), what, self.seconds, *arguments, start_new_session=True,
                             env={"MEMTRACE_KEEP": "auto", "MEMTRACE_SAMPLE": "4KiB", "MEMTRACE_KEEP_FILES": "100"})
        self.await_line(process)
        sent, begin = 0, time.monotonic()
        litter = threading.Thread(target=self.remove_snapshots, args=(process,))
        litter.start()
        try:
            while process.poll() is None and time.monotonic() - begin < self.seconds + harness.TIMEOUT_S:
                try:
                    (os.killpg if group else os.kill)(process.pid, signal.SIGUSR2)
                except ProcessLookupError:
                    break
                sent += 1
                time.sleep(max(0, begin + sent / PER_SECOND - time.monotonic()))
        finally:
            out, err = process.communicate(timeout=harness.TIMEOUT_S)
            litter.join()
        self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))
        print(f"{sent} signals", end=" ... ", flush=True)
        self.assertGreater(sent, self.seconds * PER_SECOND // 100)  # with dozens of busy processes beside it
        for path in self.files():
            if not path.endswith((".rec", ".snap")):
                self.fail(f"left behind: {path}")
        for path in [*self.files(".snap")[-3:], *self.files(".rec", process.pid)]:
            self.assert_balanced_estimate(self.report(path))
        return process

    def assert_balanced_estimate(self, report):
        self.assertGreaterEqual(report["totals"]["live_bytes"], 0)
        self.assertLess(report["totals"]["live_bytes"], 100 << 20)

    def remove_snapshots(self, process):
        """A thousand a second would fill the disk."""
        while process.poll() is None:
            for path in self.files(".snap")[:-50]:
                with contextlib.suppress(FileNotFoundError):  # a child's, removed by the next child
                    os.unlink(path)
            time.sleep(0.1)

    def test_during_malloc(self):
        self.storm("malloc")

    def test_during_fork_and_exit(self):
        self.storm("fork", group=True)

    def test_during_dlopen(self):
        self.storm("dlopen", harness.program("libplugin_A.so"))

    def test_on_small_stacks(self):
        self.storm("small")

    def test_on_an_alternate_stack(self):
        self.storm("alternate")


class Libraries(harness.Case):
    rounds = 300

    def test_libraries_with_constructors(self):
        plugins = [harness.program(f"libplugin_{letter}.so") for letter in "AB"]
        run = self.run_both(harness.program("load_and_unload"), 3, self.rounds, *plugins)
        self.assertEqual(run.status, 0)
        self.assert_exact(self.report(self.recording(run.pid)))

    def test_libraries_with_thread_locals(self):
        run = self.run_both(harness.program("thread_locals_of_libraries"), 4, self.rounds,
                            harness.program("libthread_local_plugin.so"), timeout=600)
        self.assertEqual(run.status, 0)
        self.assert_exact(self.report(self.recording(run.pid)))


class Steps(harness.Case):
    """Killed after each single instruction of a path through malloc, realloc and free whose tables grow."""

    stride, first, count = 443, 1, 45

    def test_killed_at_any_instruction(self):
        reader = "/proc/sys/kernel/yama/ptrace_scope"
        if os.path.exists(reader) and open(reader, encoding="ascii").read().strip() == "3":
            self.skipTest("ptrace is forbidden here")
        inside = done = 0
        while done < self.count:
            batch = min(50, self.count - done)
            run = self.run_program(harness.program("step_and_kill"), self.first + done * self.stride, self.stride, batch, harness.LIBRARY,
                                   harness.program("stepped"), env={"LD_PRELOAD": None, "MEMTRACE_KEEP_FILES": "1000"},
                                   timeout=600)
            self.assertEqual((run.status, run.err), (0, b""))
            done += batch
            inside += int(run.out)
            recordings = self.files(".rec")
            self.assertEqual(len(recordings), batch)
            self.check(recordings)
            for path in recordings:
                os.unlink(path)
            if int(run.out) < batch:
                break
        self.assertGreater(inside, self.count // 4)

    def check(self, recordings):
        report = self.report(*recordings)
        for one in [report, *report["others"]]:
            self.assertEqual(one["recording"]["state"], "killed")
            self.assertEqual(one["recording"]["dropped"]["allocations"], 0)
            kept = sum(site["live_allocations"] for site in one["sites"] if site["live_bytes"] == 120 * site["live_allocations"])
            self.assertEqual(kept, 200)
            self.assertLessEqual(one["totals"]["live_allocations"], 202)


if __name__ == "__main__":
    harness.main()
