"""What the tests of real programs share: commands with and without the library, servers on free ports."""

import contextlib
import os
import random
import shutil
import signal
import socket
import time
import unittest

import harness

MODES = {"exact": {"MEMTRACE_SAMPLE": "1"}, "default": {"MEMTRACE_SAMPLE": "auto"}}


def find(name):
    """The path of a program, or the test is skipped."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        raise unittest.SkipTest(f"{name} is not installed")
    return path


def free_port():
    """Below the ports that the kernel gives to clients, one of which could take it before the server does."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class RealProgram(harness.Case):
    def environment(self, preload=True, **variables):
        return super().environment(preload, **{"LC_ALL": "C.UTF-8", "HOME": self.work, **variables})

    def compare(self, *command, env=None, outputs=(), least_bytes=1, **popen):
        """Same exit status, output and files with and without the library, in every mode. Prints the slowdown, returns the
        reports, the one of the process that allocated most for each mode."""
        results, reports = {}, {}
        for mode, variables in {"bare": None, **MODES}.items():
            shutil.rmtree(self.recordings, ignore_errors=True)
            for path in outputs:
                if os.path.exists(path):
                    os.unlink(path)
            begin = time.monotonic()
            run = self.run_program(*command, preload=variables is not None, env={**(env or {}), **(variables or {})}, **popen)
            took = time.monotonic() - begin
            contents = []
            for path in outputs:
                with open(path, "rb") as file:
                    contents.append(file.read())
            results[mode] = (run.status, run.out, run.err, contents)
            if variables is None:
                bare_s = took
                self.assertEqual(run.status, 0, run.err)
                continue
            print(f"{mode} {took / bare_s:.2f}", end=" ", flush=True)
            self.assertEqual(results[mode], results["bare"], mode)
            reports[mode] = self.largest_report()
            self.assert_plausible(reports[mode], least_bytes if mode == "exact" else 1)
        return reports

    def largest_report(self):
        reports = [self.report(path, symbols=True) for path in self.files(".rec")]
        self.assertTrue(reports, "nothing was recorded")
        return max(reports, key=lambda report: report["totals"]["allocated_bytes"])

    def assert_plausible(self, report, least_bytes):
        totals, sites = report["totals"], report["sites"]
        self.assertGreaterEqual(totals["allocated_bytes"], least_bytes)
        if report["recording"]["sampling"] == "exact":  # of estimates each has its own error
            self.assertGreaterEqual(totals["allocations"], totals["frees"])
        self.assertEqual(report["recording"]["dropped"]["allocations"], 0)
        self.assertTrue(sites)
        frames = [frame for site in sites for frame in site["stack"]]
        placed = sum(frame["module"] is not None for frame in frames)
        self.assertGreater(placed, len(frames) * 0.9, "frames lie in no module")
        self.assertTrue(any(frame["function"] in ("main", "_start", "__libc_start_main_impl", "__libc_start_main", "start_thread",
                                                  "clone3", "__clone3") for frame in frames), "no stack reaches the start")

    def serve(self, *command, port, preload=True, env=None, **popen):
        """Starts a server and waits until it answers."""
        process = self.start(*command, preload=preload, env=env, **popen)
        harness.wait_until(lambda: answers(port) or process.poll() is not None, what=f"an answer of {command[0]}")
        self.assertIsNone(process.poll(), "the server ended")
        return process

    def snapshot(self, pid):
        """SIGUSR2 to a working process; returns the report of what it writes."""
        before = set(self.files(".snap", pid))
        os.kill(pid, signal.SIGUSR2)
        new = harness.wait_until(lambda: set(self.files(".snap", pid)) - before, what=f"a snapshot of {pid}")
        return self.report(new.pop(), symbols=True)
