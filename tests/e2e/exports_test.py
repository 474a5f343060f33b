"""Profiles for other tools, read by those tools."""

import gzip
import json
import os
import re
import shutil
import subprocess

import harness


class Exports(harness.Case):
    def setUp(self):
        super().setUp()
        self.program = harness.program("leak_or_tree")
        self.assertEqual(self.run_program(self.program, "leak").status, 0)
        self.exported = os.path.join(self.root, "profile")

    def export(self, option, *arguments):
        done = subprocess.run([harness.REPORT, f"--{option}={self.exported}", *(arguments or [self.recordings])],
                              capture_output=True, timeout=harness.TIMEOUT_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return self.exported

    def output_of(self, *command):
        done = subprocess.run(command, capture_output=True, timeout=harness.TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.decode()

    def test_jeprof_reads_what_we_write(self):
        if not shutil.which("jeprof"):
            self.fail("there is no jeprof: package libjemalloc-dev")
        text = self.output_of("jeprof", "--text", self.program, self.export("jeprof"))
        self.assertRegex(text, r"Total: 2\.\d MB")
        self.assertRegex(text, r"(?m)^ *1\.0 .* LoadTable$")
        self.assertRegex(text, r"(?m)^ *1\.0 .* Leak$")

    def test_we_read_what_we_write_for_jeprof(self):
        original = self.report(self.recording(), symbols=True)
        again = self.report(self.export("jeprof"), symbols=True)
        for key in ("allocations", "allocated_bytes", "live_allocations", "live_bytes"):
            self.assertEqual(again["totals"][key], original["totals"][key], key)
        stacks = [{tuple(frame["function"] for frame in site["stack"]): site["live_bytes"] for site in report["sites"]}
                  for report in (original, again)]
        self.assertEqual(*stacks)
        for key in ("peak_live_bytes", "peak_live_allocations", "temporary_allocations"):
            self.assertIsNone(again["totals"][key], key)
        self.assertEqual({site["peak_bytes"] for site in again["sites"]}, {None})
        self.assertEqual(again["recording"]["dropped"], {"allocations": None, "frees": None, "reason": None})
        with open(self.exported, encoding="utf-8") as file:  # as jemalloc writes it without prof_accum
            without_sums = re.sub(r"\[\d+: \d+\]", "[0: 0]", file.read())
        with open(self.exported, "w", encoding="utf-8") as file:
            file.write(without_sums)
        totals = self.report(self.exported)["totals"]
        self.assertEqual([totals[key] for key in ("allocations", "allocated_bytes", "frees", "freed_bytes")], [None] * 4)
        self.assertEqual(totals["live_bytes"], original["totals"]["live_bytes"])
        self.assertEqual(again["suspects"], [])  # sums say nothing about growth
        self.assertEqual(again["verdict"]["cause"], "unknown")

    def test_jemalloc_profiles(self):
        library = harness.first_existing("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "/usr/lib/aarch64-linux-gnu/libjemalloc.so.2")
        env = {"LD_PRELOAD": library, "MALLOC_CONF": f"prof:true,prof_final:true,prof_accum:true,lg_prof_sample:0,prof_prefix:{self.work}/jeprof"}
        # Its own signal would end it.
        done = subprocess.run(["bash", "-c", f'trap "" USR2; exec {self.program} leak'], env={**os.environ, **env}, cwd=self.work,
                              capture_output=True, timeout=harness.TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        heap, = [name for name in os.listdir(self.work) if name.endswith(".heap") and "leak" not in name][-1:]
        report = self.report(os.path.join(self.work, heap), symbols=True)
        live = {"LoadTable": 0, "Leak": 0}
        for site in report["sites"]:
            function = site["stack"][0]["function"] if site["stack"] else None
            if function in live:
                live[function] += site["live_bytes"]
        self.assertEqual(live["LoadTable"], 1 << 20)
        self.assertEqual(live["Leak"], 10_000 * 112)  # jemalloc counts what it gave

    def test_speedscope(self):
        with open(self.export("speedscope"), encoding="utf-8") as file:
            profile = json.load(file)
        active = profile["profiles"][profile["activeProfileIndex"]]
        self.assertEqual(len(active["samples"]), len(active["weights"]))
        self.assertEqual(sum(active["weights"]), active["endValue"])
        names = [profile["shared"]["frames"][index]["name"] for index in active["samples"][0]]
        self.assertIn("main", names)

    def test_protoc_reads_the_profile(self):
        with gzip.open(self.export("pprof")) as file:
            decoded = subprocess.run(["protoc", "--decode_raw"], input=file.read(), capture_output=True, timeout=harness.TIMEOUT_S, check=True)
        text = decoded.stdout.decode()
        strings = re.findall(r'(?m)^6: "(.*)"$', text)
        for name in ("inuse_space", "alloc_objects", "LoadTable", self.program):
            self.assertIn(name, strings)

    def test_suppressions_and_helpers(self):
        """What users say about their own functions."""
        files = {"suppressions": "# known\nleak:Leak\n", "helpers": "Leak\n"}
        paths = {}
        for name, content in files.items():
            paths[name] = os.path.join(self.root, name)
            with open(paths[name], "w", encoding="utf-8") as file:
                file.write(content)
        recording = self.recording()
        for arguments, status, words in (((), 4, "Memory allocated by Leak (leak_or_tree.c:"),
                                         ((f"--suppressions={paths['suppressions']}",), 0, "1 suspect was passed over, as the suppressions say"),
                                         ((f"--helpers={paths['helpers']}",), 4, "frame of helpers that you named")):
            done = subprocess.run([harness.REPORT, "--fail-on=suspect", *arguments, recording], capture_output=True, timeout=harness.TIMEOUT_S,
                                  check=False)
            self.assertEqual((done.returncode, done.stderr), (status, b""))
            self.assertIn(words, " ".join(done.stdout.decode().split()))

    def test_several_at_once_and_a_full_disk(self):
        first, second = (os.path.join(self.root, name) for name in ("a.json", "b.html"))
        done = subprocess.run([harness.REPORT, f"--json={first}", f"--html={second}", "--folded", self.recordings], capture_output=True, timeout=harness.TIMEOUT_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"LoadTable 1048576\n", done.stdout)
        self.assertTrue(os.path.getsize(first) and os.path.getsize(second))
        for option in ("json", "html", "folded", "pprof", "speedscope", "jeprof", "text"):
            for target in ("/dev/full", "/nonexistent/file"):
                done = subprocess.run([harness.REPORT, f"--{option}={target}", self.recordings], capture_output=True, timeout=harness.TIMEOUT_S, check=False)
                self.assertEqual(done.returncode, 1, (option, target))
                self.assertRegex(done.stderr.decode(), f"cannot write {target}: .*(No space|No such)")
        done = subprocess.run([harness.REPORT, "--json", "--html", self.recordings], capture_output=True, timeout=harness.TIMEOUT_S, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn(b"--json and --html both go to standard output", done.stderr)


if __name__ == "__main__":
    harness.main()
