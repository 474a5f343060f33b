"""With MEMTRACE_SAMPLE=1 and one thread every total equals an independent count, to the byte."""

import json

import harness

SEEDS = range(1, 6)
OPERATIONS = 20_000


class ExactCase(harness.Case):
    def assert_equals_own_count(self, program, seed, *options, env=None):
        """What the program's C library and start-up code allocate shows in a run of no operations."""
        start = self.report_of(program, seed, 0, *options, env=env)["totals"]
        run = self.run_both(program, seed, OPERATIONS, *options, env=env)
        self.assertEqual(run.status, 0)
        report = self.report(self.recording(run.pid))
        self.assert_exact(report)
        counted = json.loads(run.out)
        for key in ("peak_live_bytes", "peak_live_allocations"):
            counted[key] += start[key.removeprefix("peak_")]
        for key in set(counted) - {"peak_live_bytes", "peak_live_allocations"}:
            counted[key] += start[key]
        self.assertEqual(report["totals"], counted)


class Exactness(ExactCase):
    def all_seeds(self, program, env=None):
        for seed in SEEDS:
            with self.subTest(seed=seed):
                self.assert_equals_own_count(program, seed, env=env)

    def test_malloc_family(self):
        self.all_seeds(harness.program("malloc_family"))

    def test_malloc_family_under_musl(self):
        self.all_seeds(self.musl_program("malloc_family"))

    def test_operator_new(self):
        self.all_seeds(harness.program("operator_new"))


if __name__ == "__main__":
    harness.main()
