"""Allocations before any library has been initialised, and signals before there is a handler."""

import os
import signal
import subprocess

import harness


class Early(harness.Case):
    def test_blocks_from_before_the_beginning(self):
        """More than any fixed pool holds; they are measured, reallocated and freed later, also by another thread."""
        report = self.report_of_both(harness.program("early_allocation"))
        kept = sum(site["live_allocations"] for site in report["sites"] if site["live_bytes"] == 100 * site["live_allocations"])
        self.assertEqual(kept, 1000)

    def test_signal_that_waits_since_before_the_program(self):
        """Blocked and pending at exec: it does what it does to a program that has not touched it."""
        def leave_one_pending():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
            os.kill(os.getpid(), signal.SIGUSR2)

        run = self.run_both(harness.program("fork_once"), "nothing", preexec_fn=leave_one_pending)
        self.assertEqual(run.status, 0)
        self.assertEqual(self.files(".snap"), [])

    def test_program_that_blocks_all_signals(self):
        """The signal waits for ever; `memtrace snapshot` needs none."""
        process = self.start(harness.program("under_storm"), "blocked", 3)
        self.await_line(process)
        process.send_signal(signal.SIGUSR2)
        done = subprocess.run([harness.TOOL, "snapshot", str(process.pid)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))
        self.assertEqual(self.files(".snap"), [done.stdout.strip()])
        self.report(done.stdout.strip())


if __name__ == "__main__":
    harness.main()
