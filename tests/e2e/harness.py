"""What the end-to-end tests share: running a program with and without the library, and reading what was recorded.

CMake names the files under test in the environment: E2E_LIBRARY (libmemtrace.so), E2E_REPORT (memtrace-report), E2E_TOOL
(memtrace) and E2E_PROGRAMS (the folder of the programs built from tests/programs).
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

LIBRARY = os.environ["E2E_LIBRARY"]
REPORT = os.environ["E2E_REPORT"]
TOOL = os.environ["E2E_TOOL"]
PROGRAMS = os.environ["E2E_PROGRAMS"]
TIMEOUT_S = 180  # of what takes seconds, on a busy machine


def program(name):
    return os.path.join(PROGRAMS, name)


def first_existing(*paths):
    """The first of `paths` that is there, or None."""
    return next((path for path in paths if os.path.exists(path)), None)


def wait_until(condition, timeout=TIMEOUT_S, what="the condition"):
    """Polls until condition() is true and returns what it returned; fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {timeout} s")
        time.sleep(0.005)


def limit(name, value):
    """For preexec_fn: setrlimit(RLIMIT_name, value)."""
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))


class Run:
    """A program that has ended."""

    def __init__(self, process, out, err):
        self.pid = process.pid
        self.status = process.returncode  # -N: killed by signal N
        self.out = out
        self.err = err


class Case(unittest.TestCase):
    """One test: a directory of its own for recordings (self.recordings) and for the program (self.work)."""

    maxDiff = None

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="memtrace-e2e-")
        os.chmod(self.root, 0o755)
        self.addCleanup(shutil.rmtree, self.root, True)
        self.recordings = os.path.join(self.root, "recordings")
        self.work = os.path.join(self.root, "work")
        os.mkdir(self.work)

    # --- Running programs ---

    def environment(self, preload=True, **variables):
        """The environment of a recorded program: exact, kept, into this test's directory. None removes a variable."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MEMTRACE_", "E2E_", "LD_"))}
        if preload:
            env.update(LD_PRELOAD=LIBRARY, MEMTRACE_DIR=self.recordings, MEMTRACE_SAMPLE="1", MEMTRACE_KEEP="always")
            env.update(variables)
        else:
            env.update({k: v for k, v in variables.items() if not k.startswith("MEMTRACE_")})
            ours = ("", os.path.basename(LIBRARY))  # also the one for another architecture
            others = [path for path in env.get("LD_PRELOAD", "").split(":") if os.path.basename(path) not in ours]
            env["LD_PRELOAD"] = ":".join(others) or None
        return {k: v for k, v in env.items() if v is not None}

    def start(self, *command, preload=True, env=None, **popen):
        """Starts a program; it is killed at the end of the test if it still runs."""
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        popen.setdefault("cwd", self.work)
        process = subprocess.Popen([str(part) for part in command], env=self.environment(preload, **(env or {})), **popen)
        self.addCleanup(self._end, process)
        return process

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    def run_program(self, *command, preload=True, env=None, timeout=TIMEOUT_S, **popen):
        process = self.start(*command, preload=preload, env=env, **popen)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            self.fail(f"{command} still ran after {timeout} s")
        return Run(process, out, err)

    def run_both(self, *command, env=None, **popen):
        """Runs a program without and with the library: output and exit status must be the same. Returns the recorded run."""
        bare = self.run_program(*command, preload=False, env=env, **popen)
        recorded = self.run_program(*command, env=env, **popen)
        self.assertEqual((bare.status, bare.out, bare.err), (recorded.status, recorded.out, recorded.err))
        return recorded

    def await_line(self, process, line=b"ready\n"):
        """Reads standard output until the program has written `line`."""
        for got in process.stdout:
            if got == line:
                return
        self.fail(f"the program ended without {line!r}: {process.stderr.read()}")

    def musl_program(self, name):
        path = program(name + ".musl")
        if not os.path.exists(path):
            self.skipTest("there is no musl-gcc: package musl-tools")
        return path

    # --- What was recorded ---

    def files(self, ending="", of=None, directory=None):
        """Paths of the files in the recording directory, the unnamed ones too; `of` is a process id."""
        directory = directory or self.recordings
        names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
        return [os.path.join(directory, name) for name in names
                if name.endswith(ending) and (of is None or f".{of}." in name)]

    def recording(self, of=None):
        """The path of the only recording there is."""
        found = self.files(".rec", of)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def report(self, *paths, status=0, symbols=False):
        """memtrace-report --json of `paths`, or of the only recording, as a dictionary."""
        command = [REPORT, "--json", *([] if symbols else ["--no-symbols"]), *(paths or [self.recording()])]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, status, done.stderr.decode())
        return json.loads(done.stdout)

    def report_of(self, *command, **run):
        """Runs a program to its successful end with the library; returns its report."""
        done = self.run_program(*command, **run)
        self.assertEqual((done.status, done.err), (0, b""))
        return self.report(self.recording(done.pid))

    def report_of_both(self, *command, symbols=False):
        """Runs a program that writes "done" without and with the library; returns its report, which must be exact."""
        run = self.run_both(*command)
        self.assertEqual((run.status, run.out), (0, b"done\n"))
        report = self.report(self.recording(run.pid), symbols=symbols)
        self.assert_exact(report)
        return report

    def assert_balanced(self, report):
        """The totals of a recording, and the sums over its sites, agree with each other."""
        totals = report["totals"]
        self.assertEqual(totals["allocations"] - totals["frees"], totals["live_allocations"])
        self.assertEqual(totals["allocated_bytes"] - totals["freed_bytes"], totals["live_bytes"])
        self.assertGreaterEqual(totals["peak_live_bytes"], totals["live_bytes"])
        for key in ("allocations", "allocated_bytes", "live_allocations", "live_bytes", "temporary_allocations"):
            self.assertEqual(sum(site[key] for site in report["sites"]), totals[key], key)

    def assert_nothing_dropped(self, report):
        self.assertEqual(report["recording"]["dropped"], {"allocations": 0, "frees": 0, "reason": None})

    def assert_exact(self, report):
        """An exact, complete recording without contradictions."""
        self.assertEqual(report["recording"]["sampling"], "exact")
        self.assert_nothing_dropped(report)
        self.assert_balanced(report)


def main():
    unittest.main(verbosity=2)
