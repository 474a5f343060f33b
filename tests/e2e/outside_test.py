"""memtrace snapshot: a snapshot that is taken from outside, through the recording, without a signal."""

import os
import signal
import subprocess

import harness

SURELY = 90_000  # of the 100,000 bytes that each thread of busy.c holds; see signals_test.py


class Outside(harness.Case):
    def start_busy(self, *arguments, **start):
        process = self.start(harness.program("busy"), *arguments, stdin=subprocess.PIPE, **start)
        self.await_line(process)
        return process

    def snapshot(self, *arguments):
        return subprocess.run([harness.TOOL, "snapshot", *map(str, arguments)], capture_output=True, text=True,
                              timeout=harness.TIMEOUT_S)

    def test_beside_the_recording(self):
        process = self.start_busy(3)
        result = self.snapshot(process.pid)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        path = result.stdout.strip()
        self.assertEqual(self.files(".snap"), [path])
        report = self.report(path)
        self.assertEqual(report["recording"]["state"], "snapshot")
        self.assertGreaterEqual(report["totals"]["live_bytes"], 3 * SURELY)
        self.assertEqual(report["target"]["pid"], process.pid)
        # The process does not know of it; its own next snapshot takes the next number.
        process.send_signal(signal.SIGUSR2)
        harness.wait_until(lambda: len(self.files(".snap")) == 2, what="the second snapshot")
        self.assertEqual([name.split(".")[-2] for name in self.files(".snap")], ["0001", "0002"])
        process.stdin.close()
        process.stdin = None
        self.assertEqual(process.communicate(timeout=harness.TIMEOUT_S), (b"done\n", b""))

    def test_into_another_directory(self):
        process = self.start_busy(0)
        for number in ("0001", "0002"):
            path = self.snapshot(process.pid, "-o", self.work).stdout.strip()
            self.assertEqual(os.path.dirname(path), self.work)
            self.assertEqual(path.split(".")[-2], number)
            self.assertEqual(self.report(path)["recording"]["state"], "snapshot")
        self.assertEqual(self.files(".snap"), [])

    def test_a_process_that_is_not_recorded(self):
        process = self.start_busy(0, preload=False)
        result = self.snapshot(process.pid)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("is not recorded", result.stderr)
        self.assertIn("memtrace run", result.stderr)

    def test_wrong_targets(self):
        process = self.start("/bin/true", preload=False)
        process.wait()
        result = self.snapshot(process.pid)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"there is no process {process.pid}", result.stderr)
        self.assertEqual(self.snapshot("-5").returncode, 2)
        self.assertEqual(self.snapshot("").returncode, 2)
        self.assertEqual(self.snapshot(os.getpid(), "-o", "/nonexistent").returncode, 2)


if __name__ == "__main__":
    harness.main()
