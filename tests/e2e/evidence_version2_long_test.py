"""The remaining ways to fill a limit, under cgroup version 2."""

import harness
from evidence_version2_test import Version2


class MoreScenes(Version2):
    kinds = ("large-job", "lock-file", "pipes", "threads", "fork")  # the last one keeps the kernel busy

    def test_causes(self):
        for kind, cause in (("large-job", "limit-too-low"), ("lock-file", "page-cache"), ("pipes", "kernel-memory"),
                            ("threads", "threads-or-processes")):
            with self.subTest(kind):
                self.assert_killed(kind, self.report_on(kind), cause)

    def test_fork_bomb(self):
        report = self.report_on("fork", "dmesg", recorded=False)
        self.assertEqual(report["verdict"]["cause"], "threads-or-processes", report["verdict"])
        self.assertRegex(report["verdict"]["summary"], r"\d processes ")


if __name__ == "__main__":
    harness.main()
