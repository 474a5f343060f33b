"""What the kernel logged during a test."""

import os
import re
import subprocess
import tempfile
import time
import unittest


class KernelLog:
    """`log = KernelLog()` sets a mark; log.since() is the log from there, which may hold lines of other tests."""

    def __init__(self):
        self._mark = "memtrace-test-" + os.path.basename(tempfile.mktemp())
        try:
            with open("/dev/kmsg", "w") as kmsg:
                kmsg.write(self._mark + "\n")
        except OSError as error:
            raise unittest.SkipTest(f"/dev/kmsg cannot be written: {error.strerror}") from None

    def reports_fully(self, pid):
        """Whether the kernel wrote down what the memory was when it killed `pid`: it does so for ten kills in five seconds."""
        text = self.since()
        killed = text.find(f"Killed process {pid} ")
        return killed >= 0 and re.search(rf"oom-kill:.*,pid={pid},", text) is not None

    @staticmethod
    def let_it_report_again():
        time.sleep(5.5)

    def since(self):
        done = subprocess.run(["dmesg"], capture_output=True, text=True, errors="replace", check=False)
        if self._mark not in done.stdout:
            raise unittest.SkipTest("the kernel's log cannot be read, or has already lost the mark: " + done.stderr.strip())
        return done.stdout[done.stdout.rindex("\n", 0, done.stdout.index(self._mark)) + 1:]
