"""pprof itself reads our profiles. It is built from Debian's source package with Debian's Go, which are too large to be installed
for this alone: packages golang-go and golang-github-google-pprof-dev."""

import os
import re
import shutil
import subprocess

import harness

SOURCE = "/usr/share/gocode/src/github.com/google/pprof"


class Pprof(harness.Case):
    def setUp(self):
        super().setUp()
        if not shutil.which("go") or not os.path.isdir(SOURCE):
            self.skipTest("packages golang-go and golang-github-google-pprof-dev are not installed")
        self.program = harness.program("leak_or_tree")
        self.assertEqual(self.run_program(self.program, "leak").status, 0)
        self.snapshot, = self.files(".snap")
        self.pprof = os.path.join(self.root, "pprof")
        env = {**os.environ, "GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "GOCACHE": os.path.join(self.root, "cache")}
        subprocess.run(["go", "build", "-o", self.pprof, "github.com/google/pprof"], env=env, check=True, timeout=600)

    def export(self, name, *arguments):
        path = os.path.join(self.root, name)
        subprocess.run([harness.REPORT, f"--pprof={path}", *arguments], check=True, timeout=harness.TIMEOUT_S)
        return path

    def top(self, *arguments):
        done = subprocess.run([self.pprof, "-top", "-unit=B", "-symbolize=none", *arguments], capture_output=True, timeout=harness.TIMEOUT_S, check=True)
        return done.stdout.decode()

    def test_values_names_and_differences(self):
        totals = self.report(self.recording())["totals"]
        profile = self.export("now.pb.gz", self.recording())
        for kind, total, unit in (("inuse_space", "live_bytes", "B"), ("alloc_space", "allocated_bytes", "B"),
                                  ("inuse_objects", "live_allocations", ""), ("alloc_objects", "allocations", "")):
            text = self.top(f"-sample_index={kind}", profile)
            self.assertIn(f"Type: {kind}", text)
            self.assertRegex(text, rf"of {totals[total]}{unit} total|Total samples = {totals[total]}{unit}")
        text = self.top(profile)
        self.assertIn("Type: inuse_space", text)
        self.assertIn(f"File: {os.path.basename(self.program)}", text)
        self.assertRegex(text, r"(?m)^ *1048576B .* LoadTable$")
        # Ours against the baseline is what pprof makes of the two.
        before = self.export("before.pb.gz", self.snapshot)
        ours = self.top(self.export("difference.pb.gz", f"--baseline={self.snapshot}", self.recording()))
        theirs = self.top(f"-diff_base={before}", profile)
        lines = [sorted(re.findall(r"(?m)^ *-?\d+B .*$", text)) for text in (ours, theirs)]
        self.assertGreater(len(lines[0]), 0)
        self.assertEqual(*lines)
        raw = subprocess.run([self.pprof, "-raw", profile], capture_output=True, timeout=harness.TIMEOUT_S, check=True).stdout.decode()
        build_id = next(frame["build_id"] for site in self.report(self.recording())["sites"] for frame in site["stack"] if frame["module"] == self.program)
        self.assertRegex(raw, rf"{re.escape(self.program)} {build_id} \[FN\]")


if __name__ == "__main__":
    harness.main()
