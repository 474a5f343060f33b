"""Threads that come and go, and allocations where others have already tidied up."""

import harness


class Threads(harness.Case):
    def live_of_size(self, report, size):
        """Number of live blocks at sites whose blocks all have this size."""
        return sum(site["live_allocations"] for site in report["sites"]
                   if site["live_allocations"] and site["live_bytes"] == size * site["live_allocations"])

    def check_short_threads(self, program):
        report = self.report_of_both(program, 10_000, 50)
        self.assertGreaterEqual(report["totals"]["allocations"], 100_000)
        self.assertGreaterEqual(report["totals"]["frees"], 90_000)
        self.assertEqual(self.live_of_size(report, 32), 10_000)

    def test_ten_thousand_threads_of_a_millisecond(self):
        self.check_short_threads(harness.program("short_threads"))

    def test_ten_thousand_threads_under_musl(self):
        self.check_short_threads(self.musl_program("short_threads"))

    def test_allocations_at_the_end(self):
        threads = 8
        report = self.report_of_both(harness.program("late_allocation"), threads)
        for size, count in ((101, threads), (103, 4 * threads), (107, 1), (109, 1), (113, 1)):
            self.assertEqual(self.live_of_size(report, size), count, f"blocks of {size} bytes")
        self.assertEqual(self.live_of_size(report, 5000) + self.live_of_size(report, 6000), 0)


if __name__ == "__main__":
    harness.main()
