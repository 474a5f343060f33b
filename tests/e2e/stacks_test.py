"""Stacks that are not what a thread began with, and what a frame says."""

import re

import harness

BLOCKS = 100
SOURCE = "odd_stacks.cc"


class OddStacks(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kept = {}

    def setUp(self):
        super().setUp()
        if not self.kept:
            for site in self.report_of_both(harness.program("odd_stacks"), symbols=True)["sites"]:
                size, rest = divmod(site["live_bytes"], max(site["live_allocations"], 1))
                if site["live_allocations"] and not rest and 200 < size < 210:
                    self.kept.setdefault(size, []).append(site)

    def check(self, size, *functions, reaches_the_start=True):
        """All blocks of `size` are known, by stacks that run through `functions` in this order, inside out."""
        sites = self.kept[size]
        self.assertEqual(sum(site["live_allocations"] for site in sites), 2 * BLOCKS)
        for site in sites:
            names = [re.sub(r".*::|\(.*", "", frame["function"] or "") for frame in site["stack"]]
            at = [names.index(name) for name in functions]
            self.assertEqual(at, sorted(at), names)
            if reaches_the_start:
                self.assertTrue(names[-1] == "_start" or names[-1].startswith(("clone", "__clone")), names)

    def test_context_of_swapcontext(self):
        self.check(201, "Keep", "OnContext", reaches_the_start=False)
        self.check(202, "Keep", "OnContext", reaches_the_start=False)

    def test_thread_that_goes_on_after_a_context(self):
        self.check(203, "Keep", "OnOtherStack", "InThread")

    def test_alternate_signal_stack(self):
        self.check(204, "Keep", "OnSignal", "OnAlternateStack", "InThread")

    def test_after_longjmp(self):
        self.check(205, "Keep", "AfterJump", "InThread")

    def test_exception_through_code_of_c(self):
        self.check(206, "Keep", "AfterException", "InThread")

    def test_after_bad_alloc_through_our_frames(self):
        self.check(207, "Keep", "AfterBadAlloc", "InThread")

    def test_line_is_that_of_the_call(self):
        """Not of the instruction to which it returns."""
        with open(__file__.replace("e2e/stacks_test.py", "programs/" + SOURCE), encoding="ascii") as file:
            lines = file.read().splitlines()
        for size in (201, 204, 205):
            for site in self.kept[size]:
                caller = site["stack"][1]
                self.assertTrue(caller["file"].endswith(SOURCE), caller)
                self.assertIn(f"Keep({size})", lines[caller["line"] - 1])

    def test_no_stack_ends_in_frames_of_nothing(self):
        for sites in self.kept.values():
            for site in sites:
                for frame in site["stack"]:
                    self.assertIsNotNone(frame["module"], site["stack"])


if __name__ == "__main__":
    harness.main()
