"""What the kernel logged during a test."""

import os
import re
import subprocess
import tempfile
import time
import unittest


FULL_REPORTS = 10   # in PERIOD_S: what the kernel writes of OOM kills (oom_rs in mm/oom_kill.c); of others only one line each
PERIOD_S = 5


class KernelLog:
    """`log = KernelLog()` sets a mark; log.since() is the log from there, which may hold lines of other tests."""

    def __init__(self):
        self._await_patience()
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
        time.sleep(PERIOD_S + 0.5)

    def _await_patience(self):
        """A storm of kills just before this test would leave it without a full report."""
        done = subprocess.run(["dmesg"], capture_output=True, text=True, errors="replace", check=False)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        times = (float(stamp) for stamp in re.findall(r"(?m)^\[ *([\d.]+)\].* invoked oom-killer", done.stdout))
        if sum(now - stamp < PERIOD_S + 1 for stamp in times) > FULL_REPORTS - 3:
            self.let_it_report_again()

    def since(self):
        done = subprocess.run(["dmesg"], capture_output=True, text=True, errors="replace", check=False)
        if self._mark not in done.stdout:
            raise unittest.SkipTest("the kernel's log cannot be read, or has already lost the mark: " + done.stderr.strip())
        return done.stdout[done.stdout.rindex("\n", 0, done.stdout.index(self._mark)) + 1:]
