"""Killed by SIGKILL at random moments: the recording opens, and holds what malloc had returned."""

import array
import os
import random
import time

import harness

THREADS, SLOTS = 4, 4096
SITES = ("AllocateFirst", "AllocateSecond", "AllocateThird", "AllocateFourth")
# A block that malloc returned and that is not written down yet, or that is struck off and not yet freed.
BETWEEN = 1
BETWEEN_BYTES = 500


class Killed(harness.Case):
    runs = 40

    def live_by_site(self, report):
        found = {}
        for site in report["sites"]:
            for frame in site["stack"]:
                if frame["function"] in SITES:
                    blocks, size = found.get(frame["function"], (0, 0))
                    found[frame["function"]] = (blocks + site["live_allocations"], size + site["live_bytes"])
                    break
        return found

    def ledger(self, path):
        """(blocks, bytes) that each thread had written down."""
        words = array.array("Q")
        with open(path, "rb") as file:
            words.frombytes(file.read())
        self.assertEqual(len(words), THREADS * SLOTS)
        threads = [words[i * SLOTS:(i + 1) * SLOTS] for i in range(THREADS)]
        return [(sum(1 for size in sizes if size), sum(sizes)) for sizes in threads]

    def one(self, seed):
        written = os.path.join(self.work, f"ledger-{seed}")
        process = self.start(harness.program("survivor"), written)
        # From before the first thread runs, in every fourth run, to well after every table has grown.
        if seed % 4 != 0:
            self.await_line(process)
        time.sleep(random.Random(seed).choice((0.01, 0.05, 0.3)) * random.Random(seed + 1000).random())
        process.kill()
        process.wait()
        recordings = self.files(".rec", process.pid)
        if not os.path.exists(written) or os.path.getsize(written) == 0:
            return False  # killed before main
        self.assertEqual(len(recordings), 1)
        report = self.report(recordings[0], symbols=True)
        self.assertEqual(report["recording"]["state"], "killed")
        found = self.live_by_site(report)
        for site, (blocks, size) in zip(SITES, self.ledger(written)):
            got_blocks, got_size = found.get(site, (0, 0))
            self.assertGreaterEqual(got_blocks, blocks, (seed, site))
            self.assertLessEqual(got_blocks, blocks + BETWEEN, (seed, site))
            self.assertGreaterEqual(got_size, size, (seed, site))
            self.assertLessEqual(got_size, size + BETWEEN * BETWEEN_BYTES, (seed, site))
        os.unlink(recordings[0])
        return any(blocks for blocks, _ in self.ledger(written))

    def test_random_moments(self):
        alive = sum(self.one(seed) for seed in range(self.runs))
        self.assertGreater(alive, self.runs // 2, "most runs were killed before they had allocated anything")


if __name__ == "__main__":
    harness.main()
