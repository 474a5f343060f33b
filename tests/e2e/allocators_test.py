"""Allocators other than libc's: linked to the program, preloaded before and after the library. All is counted, and once."""

import os

import exactness_test
import handoff_test
import harness

FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
LIBRARIES = {"jemalloc": "libjemalloc.so.2", "tcmalloc_minimal": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2"}


class Allocator:
    """The tests of each allocator; `name` is in the names of the programs that are linked to it."""

    def linked(self, name):
        path = harness.program(f"{name}_{self.name}")
        if not os.path.exists(path):
            self.skipTest(f"{self.name} was not there when the programs were built")
        return path

    def preloaded(self):
        path = harness.first_existing(*(os.path.join(folder, LIBRARIES[self.name]) for folder in FOLDERS))
        return path or self.skipTest(f"{LIBRARIES[self.name]} is not installed")

    def test_linked(self):
        self.assert_equals_own_count(self.linked("malloc_family"), 1, "foreign")

    def test_operator_new(self):
        self.assert_equals_own_count(self.linked("operator_new"), 1, "foreign")

    def test_threads(self):
        handoff_test.Handoff.assert_no_block_lost(self, self.linked("handoff"))

    def test_preloaded_after_the_library(self):
        env = {"LD_PRELOAD": f"{harness.LIBRARY}:{self.preloaded()}"}
        for name in ("malloc_family", "operator_new"):
            self.assert_equals_own_count(harness.program(name), 1, "foreign", env=env)

    def test_preloaded_before_the_library(self):
        """Its functions are found first, so nothing reaches the library: the recording says so, and the program runs."""
        env = {"LD_PRELOAD": f"{self.preloaded()}:{harness.LIBRARY}"}
        run = self.run_program(harness.program("malloc_family"), 1, 1000, "foreign", env=env)
        self.assertEqual(run.status, 0)
        self.report(self.recording(run.pid))

    def test_usable_size_is_true(self):
        """Aligned blocks aside: where they end in their pages may vary from run to run."""
        program = self.linked("usable_size")
        bare = self.run_program(program, preload=False)
        recorded = self.run_program(program)
        self.assertEqual((bare.status, bare.out), (0, recorded.out))


class Jemalloc(Allocator, exactness_test.ExactCase):
    name = "jemalloc"
    rounds = 20_000

    def test_mallocx(self):
        path = harness.program("mallocx_family")
        if not os.path.exists(path):
            self.skipTest("libjemalloc-dev was not there when the programs were built")
        for seed in exactness_test.SEEDS:
            with self.subTest(seed=seed):
                self.assert_equals_own_count(path, seed)


class Tcmalloc(Allocator, exactness_test.ExactCase):
    name = "tcmalloc_minimal"
    rounds = 20_000


class Mimalloc(Allocator, exactness_test.ExactCase):
    name = "mimalloc"
    rounds = 20_000


if __name__ == "__main__":
    harness.main()
