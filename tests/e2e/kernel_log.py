"""What the kernel logged during a test."""

import os
import subprocess
import tempfile
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

    def since(self):
        done = subprocess.run(["dmesg"], capture_output=True, text=True, errors="replace", check=False)
        if self._mark not in done.stdout:
            raise unittest.SkipTest("the kernel's log cannot be read, or has already lost the mark: " + done.stderr.strip())
        return done.stdout[done.stdout.rindex("\n", 0, done.stdout.index(self._mark)) + 1:]
