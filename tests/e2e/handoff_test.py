"""Threads that hand blocks to each other, with immediate reuse of addresses: no false leak, no lost block."""

import json

import harness

THREADS = 8


class Handoff(harness.Case):
    rounds = 125_000  # an allocation and a free each

    def assert_no_block_lost(self, program):
        """Which addresses meet is up to chance: nothing but the sums is compared with the run without the library."""
        start = self.report_of(program, THREADS, 0)["totals"]
        run = self.run_program(program, THREADS, self.rounds, timeout=900)
        self.assertEqual((run.status, run.err), (0, b""))
        report = self.report(self.recording(run.pid))
        self.assert_exact(report)
        counted = json.loads(run.out)
        for key in ("allocations", "allocated_bytes", "frees", "freed_bytes", "live_allocations", "live_bytes"):
            self.assertEqual(report["totals"][key], counted[key] + start[key], key)
        self.assertGreater(counted["live_allocations"], 90)

    def test_eight_threads(self):
        self.assert_no_block_lost(harness.program("handoff"))

    def test_eight_threads_under_musl(self):
        self.assert_no_block_lost(self.musl_program("handoff"))


if __name__ == "__main__":
    harness.main()
