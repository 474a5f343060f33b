"""memtrace-report and files that are not what they should be: the message and the exit status of the documentation."""

import json
import os
import random
import stat
import struct
import subprocess

import harness

OK, NO_REPORT, USAGE, DAMAGED = 0, 1, 2, 3
VERSION_OFFSET = 8  # libmemtrace/format/recording.h
MUTANTS = 60


class BadInput(harness.Case):
    def setUp(self):
        super().setUp()
        self.run_program(harness.program("leave"), "return")
        with open(self.recording(), "rb") as file:
            self.good = file.read()

    def file(self, content, name="file.rec"):
        path = os.path.join(self.work, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def run_report(self, *arguments, **options):
        return subprocess.run([harness.REPORT, *arguments], capture_output=True, timeout=harness.TIMEOUT_S, check=False,
                              **options)

    def check_refused(self, path, *words, **options):
        done = self.run_report("--json", path, **options)
        self.assertEqual((done.returncode, done.stdout), (NO_REPORT, b""), done.stderr)
        message = done.stderr.decode()
        self.assertTrue(message.startswith("memtrace-report: "), message)
        self.assertEqual(message.count("\n"), 1, message)
        for word in (path, *words):
            self.assertIn(word, message)

    def test_good_file(self):
        done = self.run_report("--json", self.file(self.good))
        self.assertEqual((done.returncode, done.stderr), (OK, b""))

    def test_missing(self):
        self.check_refused("/nowhere/file.rec", "No such file")

    def test_empty(self):
        self.check_refused(self.file(b""))

    def test_foreign(self):
        for content in (b"\x7fELF" + bytes(10000), b"{}\n", b"MEMTRACX" + self.good[8:], b"MEM", bytes(1 << 20)):
            with self.subTest(begin=content[:8]):
                self.check_refused(self.file(content))

    def test_future_version(self):
        content = bytearray(self.good)
        struct.pack_into("<I", content, VERSION_OFFSET, 77)
        self.check_refused(self.file(content), "77")

    def test_directory_without_recordings(self):
        self.check_refused(self.work)

    def test_directory_that_cannot_be_read(self):
        if os.geteuid() == 0:
            closed = os.path.join(self.work, "closed")
            os.mkdir(closed, 0)
            self.check_refused(closed, "ermission denied", user=65534, group=65534, extra_groups=[], cwd="/")
        else:
            os.chmod(self.work, 0)
            self.check_refused(self.work, "ermission denied")

    def test_file_that_cannot_be_read(self):
        path = self.file(self.good)
        os.chmod(path, 0)
        if os.geteuid() == 0:
            self.check_refused(path, "ermission denied", user=65534, group=65534, extra_groups=[], cwd="/")
        else:
            self.check_refused(path, "ermission denied")

    def test_one_bad_file_among_good_ones(self):
        bad = self.file(b"nonsense", "bad.rec")
        done = self.run_report("--json", self.recording(), bad)
        self.assertEqual(done.returncode, DAMAGED)
        self.assertIn(bad, done.stderr.decode())
        self.assertGreater(json.loads(done.stdout)["totals"]["live_bytes"], 0)

    def test_truncated(self):
        """A partial report that says so, or a refusal; never a crash. The end of a recording may hold nothing yet."""
        whole = self.report(self.file(self.good))["totals"]
        for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
            with self.subTest(share=share):
                done = self.run_report("--json", self.file(self.good[:int(len(self.good) * share)]))
                self.assertIn(done.returncode, (NO_REPORT, DAMAGED) if share < 0.6 else (OK, NO_REPORT, DAMAGED), done.stderr)
                if done.returncode == OK:
                    self.assertEqual(json.loads(done.stdout)["totals"], whole)
                if done.returncode == DAMAGED:
                    json.loads(done.stdout)
        text = self.run_report(self.file(self.good[:len(self.good) // 2]))
        self.assertEqual(text.returncode, DAMAGED)
        self.assertIn(b"truncated", text.stdout + text.stderr)

    def test_flipped_bits(self):
        """Chance with a fixed seed. Where the report is made its totals are numbers or null."""
        chance = random.Random(20261122)
        for mutant in range(MUTANTS):
            content = bytearray(self.good)
            reach = 4096 if mutant % 2 else len(content)
            for _ in range(chance.choice((1, 8, 64))):
                content[chance.randrange(reach)] ^= 1 << chance.randrange(8)
            done = self.run_report("--json", self.file(content))
            with self.subTest(mutant=mutant):
                self.assertIn(done.returncode, (OK, NO_REPORT, DAMAGED), done.stderr[-2000:])
                if done.returncode != NO_REPORT:
                    for value in json.loads(done.stdout)["totals"].values():
                        self.assertTrue(value is None or value >= 0, done.stdout[:1000])

    def test_usage(self):
        for arguments in ((), ("--frobnicate", "x"), ("--top", "many", "x"), ("--metric", "beauty", "x")):
            with self.subTest(arguments=arguments):
                done = self.run_report(*arguments)
                self.assertEqual((done.returncode, done.stdout), (USAGE, b""))
                self.assertTrue(done.stderr)

    def test_output_that_cannot_be_written(self):
        done = self.run_report("--json=/nowhere/out.json", self.recording())
        self.assertEqual(done.returncode, NO_REPORT)
        self.assertIn(b"/nowhere/out.json", done.stderr)
        with open("/dev/full", "wb") as full:
            done = subprocess.run([harness.REPORT, "--json", self.recording()], stdout=full, stderr=subprocess.PIPE,
                                  timeout=harness.TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, NO_REPORT)

    def test_fifo_and_device(self):
        fifo = os.path.join(self.work, "fifo.rec")
        os.mkfifo(fifo)
        self.assertTrue(stat.S_ISFIFO(os.stat(fifo).st_mode))
        writer = subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', self.recording(), fifo])
        self.addCleanup(self._end, writer)
        done = self.run_report("--json", fifo)
        self.assertIn(done.returncode, (OK, NO_REPORT), done.stderr)
        self.check_refused("/dev/null")


if __name__ == "__main__":
    harness.main()
