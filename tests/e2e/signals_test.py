"""The signal that takes snapshots, shared with the program that is recorded."""

import json
import os
import signal
import subprocess

import harness

# Of the 100,000 bytes that each thread of busy.c holds. A snapshot is copied while the threads go on: of blocks that are freed
# and allocated meanwhile it may miss some.
SURELY = 90_000


class Snapshots(harness.Case):
    def start_busy(self, *arguments, **start):
        process = self.start(harness.program("busy"), *arguments, stdin=subprocess.PIPE, **start)
        self.await_line(process)
        return process

    def finish(self, process):
        """Ends busy.c, which must not have noticed anything."""
        process.stdin.close()
        process.stdin = None
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))

    def await_snapshots(self, process, count=1):
        return harness.wait_until(
            lambda: process.poll() is not None or (found := self.files(".snap")) and len(found) >= count and found,
            what=f"snapshot {count}")

    def check_snapshot(self, path, live_at_least):
        """A whole file: its totals agree with its sites up to what is under way at this instant in other threads."""
        report = self.report(path)
        recording = report["recording"]
        self.assertEqual((recording["state"], recording["trigger"]), ("snapshot", "signal"))
        totals = report["totals"]
        self.assertGreaterEqual(totals["live_bytes"], live_at_least)
        self.assertLess(totals["live_bytes"], 2 * live_at_least + 1_000_000)
        self.assertGreaterEqual(totals["allocated_bytes"], totals["live_bytes"])
        return report

    def test_idle_program(self):
        process = self.start_busy(0)
        process.send_signal(signal.SIGUSR2)
        self.await_snapshots(process)
        self.check_snapshot(self.files(".snap")[0], 0)
        self.finish(process)
        self.assertEqual(self.report(self.recording())["recording"]["state"], "exited")

    def test_busy_program(self):
        process = self.start_busy(4)
        process.send_signal(signal.SIGUSR2)
        self.await_snapshots(process)
        self.check_snapshot(self.files(".snap")[0], 4 * SURELY)
        self.finish(process)
        self.assert_exact(self.report(self.recording()))

    def test_busy_program_under_musl(self):
        process = self.start(self.musl_program("busy"), 2, stdin=subprocess.PIPE)
        self.await_line(process)
        process.send_signal(signal.SIGUSR2)
        self.await_snapshots(process)
        self.check_snapshot(self.files(".snap")[0], 2 * SURELY)
        self.finish(process)

    def test_storm_shows_only_whole_snapshots(self):
        process = self.start_busy(4)
        seen = set()
        for _ in range(200):
            process.send_signal(signal.SIGUSR2)
            for path in set(self.files(".snap")) - seen:
                if len(seen) < 20:  # reading each would take a minute
                    self.check_snapshot(path, 4 * SURELY)
                seen.add(path)
        self.await_snapshots(process)
        self.finish(process)
        self.assertLessEqual(len(self.files(".snap")), 200)
        self.check_snapshot(self.files(".snap")[-1], 4 * SURELY)
        self.assertEqual([path for path in self.files() if not path.endswith((".snap", ".rec"))], [])
        report = self.report(self.recording())
        self.assert_exact(report)

    def test_snapshots_are_numbered_and_read_in_order(self):
        process = self.start_busy(1)
        for number in range(1, 4):
            process.send_signal(signal.SIGUSR2)
            self.await_snapshots(process, number)
        self.finish(process)
        self.assertEqual([path.split(".")[-2] for path in self.files(".snap")], ["0001", "0002", "0003"])
        report = self.report(self.recordings)
        self.assertEqual(report["recording"]["state"], "exited")
        self.assertFalse(report.get("others"))

    def test_first_process_of_a_pid_namespace(self):
        if subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode != 0:
            self.skipTest("no permission for a PID namespace")
        command = ["unshare", "--pid", "--fork", "--mount-proc", harness.program("busy"), "1"]
        process = self.start(*command, stdin=subprocess.PIPE, env={"MEMTRACE_ONLY": "busy"})
        self.await_line(process)
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        with open(children, encoding="ascii") as file:
            os.kill(int(file.read().split()[0]), signal.SIGUSR2)
        self.await_snapshots(process)
        report = self.check_snapshot(self.files(".snap")[0], SURELY)
        self.assertEqual(report["target"]["pid"], 1)
        self.finish(process)


class Choice(harness.Case):
    """MEMTRACE_SIGNAL."""

    def start_idle(self, value):
        process = self.start(harness.program("busy"), 0, stdin=subprocess.PIPE, env={"MEMTRACE_SIGNAL": value})
        self.await_line(process)
        return process

    def test_real_time_signal(self):
        process = self.start_idle("RTMIN+3")
        process.send_signal(signal.SIGRTMIN + 3)
        harness.wait_until(lambda: self.files(".snap"), what="a snapshot")
        process.send_signal(signal.SIGUSR2)
        self.assertEqual(process.wait(harness.TIMEOUT_S), -signal.SIGUSR2)
        self.assertEqual(self.report(self.recording())["recording"]["state"], "killed")

    def test_none_leaves_the_default_action(self):
        process = self.start_idle("none")
        process.send_signal(signal.SIGUSR2)
        self.assertEqual(process.wait(harness.TIMEOUT_S), -signal.SIGUSR2)
        self.assertEqual(self.files(".snap"), [])

    def test_own_handler_of_the_chosen_signal(self):
        process = self.start(harness.program("own_handler"), "sigaction", int(signal.SIGUSR1), stdin=subprocess.PIPE,
                             env={"MEMTRACE_SIGNAL": "SIGUSR1"})
        self.await_line(process)
        process.send_signal(signal.SIGUSR1)
        harness.wait_until(lambda: self.files(".snap"), what="a snapshot")
        out, _ = process.communicate(b"?", timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out), (0, b"calls 1\n"))


class OwnHandler(harness.Case):
    """A program with a handler of its own for the same signal keeps it, and is told the truth about it."""

    def calls_after_two_signals(self, mode, **start):
        process = self.start(harness.program("own_handler"), mode, stdin=subprocess.PIPE, **start)
        self.await_line(process)
        out = b""
        for count in (1, 2):
            process.send_signal(signal.SIGUSR2)
            harness.wait_until(lambda: process.poll() is not None or len(self.files(".snap")) >= count, what="a snapshot")
            if process.poll() is None:
                process.stdin.write(b"?")
                process.stdin.flush()
                out += process.stdout.readline()
        process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual(len(self.files(".snap")), 2)
        self.assertEqual(process.returncode, 0)
        return out

    def check(self, mode, expected, **start):
        self.assertEqual(self.calls_after_two_signals(mode, **start), expected)

    def test_sigaction(self):
        self.check("sigaction", b"calls 1\ncalls 2\n")

    def test_three_arguments(self):
        self.check("siginfo", b"calls 1\ncalls 2\n")

    def test_signal_function(self):
        self.check("signal", b"calls 1\ncalls 2\n")

    def test_mask_while_it_runs(self):
        self.check("masked", b"calls 1\ncalls 2\n")

    def test_once_only(self):
        self.check("resethand", b"calls 1\ncalls 1\n")

    def test_ignored(self):
        self.check("ignore", b"calls 0\ncalls 0\n")

    def test_installed_twice(self):
        self.check("twice", b"calls 1\ncalls 2\n")

    def test_ignored_before_the_program_began(self):
        self.check("inherited-ignore", b"calls 0\ncalls 0\n",
                   preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN))


class ToOwnThread(harness.Case):
    """A signal that the program sends to its own thread is the program's: no snapshot."""

    def check(self, status, out):
        for how in ("raise", "pthread_kill", "tgkill"):
            with self.subTest(how=how):
                run = self.run_both(harness.program("own_signal_to_thread"), how, self.handler)
                self.assertEqual((run.status, run.out), (status, out))
        self.assertEqual(self.files(".snap"), [])

    def test_own_handler(self):
        self.handler = "own"
        self.check(0, b"calls 3\n")

    def test_ignored(self):
        self.handler = "ignore"
        self.check(0, b"calls 0\n")

    def test_default_action_kills(self):
        self.handler = "default"
        self.check(-signal.SIGUSR2, b"")
        self.assertEqual({self.report(path)["recording"]["state"] for path in self.files(".rec")}, {"killed"})


class TightStacks(harness.Case):
    def check(self, kind, stack_bytes):
        process = self.start(harness.program("tight_stack"), kind, stack_bytes)
        self.await_line(process)
        process.send_signal(signal.SIGUSR2)
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))
        self.assertEqual(len(self.files(".snap")), 1)
        self.report(self.files(".snap")[0])
        self.assert_exact(self.report(self.recording()))

    def test_thread_of_16_kib(self):
        self.check("thread", 16384)

    def test_alternate_stack_of_8_kib(self):
        self.check("alternate", 8192)

    def test_alternate_stack_of_16_kib(self):
        self.check("alternate", 16384)


class AllocatingHandler(harness.Case):
    def test_events_inside_of_memtrace_wait(self):
        """The handler interrupts malloc, free and the recording of both. What it allocates while the real malloc runs cannot
        be told from that malloc's own; everything else is counted, and what it frees leaves the live table."""
        signals = 3000
        env = {"LD_PRELOAD": harness.LIBRARY + ":" + harness.program("libbump_malloc.so")}
        start = self.report_of(harness.program("allocating_handler"), 0, env=env)["totals"]
        run = self.run_program(harness.program("allocating_handler"), signals, env=env)
        self.assertEqual((run.status, run.err), (0, b""))
        report = self.report(self.recording(run.pid))
        self.assert_exact(report)
        totals = report["totals"]
        by_handler = totals["allocations"] - start["allocations"] - json.loads(run.out)["allocations"]
        self.assertGreater(by_handler, signals // 4)
        self.assertLessEqual(by_handler, signals)
        self.assertLessEqual(totals["live_allocations"] - start["live_allocations"], 1)


if __name__ == "__main__":
    harness.main()
