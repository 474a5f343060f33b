"""Names that a terminal would obey, or that are as long as names can be: in no output of ours do they do harm."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess

import harness

EVIL = "\x1b[31mred\x07\r\nVerdict: none\x9b\u009b2J\u202egnp.\x7f"
LONG = "l" * 255
# What a terminal obeys, the controls behind U+0080 as UTF-8 too. Newlines and tabs are looked at by line.
OBEYED = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
REORDERS = b"\xe2\x80\xae"
OUTPUTS = ("--folded", "--json", "--html", "--speedscope", "--jeprof")


class HostileNames(harness.Case):
    def start_named(self, name, **environment):
        """A recorded program of that name, in a directory and with an argument of that name."""
        folder = os.path.join(self.work, name)
        os.makedirs(folder)
        program = os.path.join(folder, name)
        shutil.copy(harness.program("on_command"), program)
        process = self.start(program, name, stdin=subprocess.PIPE, env=environment)
        self.await_line(process)
        process.stdin.write(b"keep 70 1000\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"ok\n")
        return process

    def output(self, *command, statuses=(0,)):
        """All that a command writes, on a terminal and through pipes."""
        command = [str(word) for word in command]
        done = subprocess.run(command, capture_output=True, check=False, timeout=harness.TIMEOUT_S, stdin=subprocess.DEVNULL)
        self.assertIn(done.returncode, statuses, done.stderr)
        master, slave = pty.openpty()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env={**os.environ, "NO_COLOR": "1"}) as shown:
            os.close(slave)
            seen = b""
            while True:
                try:
                    part = os.read(master, 65536)
                except OSError:  # EIO: the other end is closed
                    break
                seen += part
            self.assertIn(shown.wait(harness.TIMEOUT_S), statuses)
        os.close(master)
        return done.stdout, done.stderr, seen.replace(b"\r\n", b"\n")

    def assert_harmless(self, *texts, of_the_library=False):
        for text in texts:
            self.assertIsNone(OBEYED.search(text), text[:4000])
            if not of_the_library:  # which passes other text than ASCII as it is
                self.assertNotIn(REORDERS, text)
            # A newline in a name does not begin a line of ours.
            self.assertNotRegex(text, rb"(?m)^Verdict: none\S")

    def snapshot_of(self, name):
        process = self.start_named(name)
        paths = subprocess.run([harness.TOOL, "snapshot", str(process.pid), "-o", self.root], capture_output=True, check=True,
                               timeout=harness.TIMEOUT_S).stdout
        self.assertTrue(paths.endswith(b"\n"))
        self.assertTrue(os.path.exists(paths[:-1]), paths)  # as it is, for scripts
        return process, os.fsdecode(paths[:-1])

    def test_memtrace(self):
        process, _ = self.snapshot_of(EVIL)
        out, err, shown = self.output(harness.TOOL, "snapshot", process.pid)
        self.assert_harmless(err, shown)
        pid = process.pid
        for command in (["doctor", pid], ["doctor", os.path.join(self.work, EVIL, EVIL)], ["attach", pid], ["monitor", "--count", 1, pid],
                        ["check", "--pid", pid]):
            self.assert_harmless(*self.output(harness.TOOL, *command, statuses=(0, 1, 2)))
        directory = os.path.join(self.root, "collected")
        done = subprocess.run([harness.TOOL, "collect", str(pid), "-o", directory], capture_output=True, check=True,
                              timeout=harness.TIMEOUT_S)
        self.assert_harmless(done.stdout, done.stderr)
        self.assertTrue(os.listdir(directory + "/recordings"))
        self.assert_harmless(*self.output(harness.REPORT, directory))
        self.assert_harmless(*self.output(harness.TOOL, "detach", pid, statuses=(0, 1)))

    def test_arguments(self):
        """Names that the caller gives come back in messages."""
        for command in (["doctor", EVIL], ["snapshot", EVIL], ["attach", EVIL], ["monitor", EVIL], ["collect", EVIL, "-o", EVIL + "/x"],
                        ["run", "--", EVIL], ["run", "--sample", EVIL, "--", "true"], ["attach", "--library", EVIL, "1"], ["check", "--pid", EVIL],
                        ["inject", "compose", EVIL, "--service", "x"], ["inject", "kubernetes", EVIL], ["install", "/proc/" + EVIL], [EVIL]):
            with self.subTest(command[0]):
                self.assert_harmless(*self.output(harness.TOOL, *command, statuses=(1, 2, 125, 127)))
        for command in ([EVIL], ["--json=/proc/" + EVIL, "/etc/passwd"], ["--" + EVIL], ["--metric", EVIL, "/etc/passwd"]):
            self.assert_harmless(*self.output(harness.REPORT, *command, statuses=(1, 2)))

    def test_every_output_of_the_report(self):
        process, snapshot = self.snapshot_of(EVIL)
        process.kill()
        self.assert_harmless(*self.output(harness.REPORT, snapshot))
        self.assert_harmless(*self.output(harness.REPORT, "--no-symbols", "--top", "0", snapshot))
        for option in OUTPUTS:
            with self.subTest(option):
                out, err, shown = self.output(harness.REPORT, option, "--no-symbols", snapshot)
                self.assert_harmless(err)
                if option == "--folded":
                    self.assert_harmless(out, shown)
                elif option in ("--json", "--speedscope"):
                    json.loads(out)
                    self.assertNotIn(b"\x1b", out)
                elif option == "--html":
                    self.assertNotIn(b"\x1b", out)

    def test_the_longest_names(self):
        process, snapshot = self.snapshot_of(LONG)
        self.assertLessEqual(len(os.path.basename(snapshot)), 255)
        directory = os.path.join(self.root, "collected")
        out, err, _ = self.output(harness.TOOL, "doctor", process.pid)
        self.assertEqual(err, b"")
        subprocess.run([harness.TOOL, "collect", str(process.pid), "-o", directory], capture_output=True, check=True,
                       timeout=harness.TIMEOUT_S)
        out, _, _ = self.output(harness.REPORT, directory)
        # All but the command to be pasted.
        self.assertLessEqual(max(len(line) for line in out.decode().splitlines() if not line.endswith((".rec", ".snap"))), 80)
        self.assertEqual(self.report(snapshot)["target"]["exe"].rsplit("/", 1)[1], LONG)

    def test_lines_of_the_library(self):
        """On standard error, and in the termination log."""
        log = os.path.join(self.root, "termination-log")
        process = self.start_named(EVIL, MEMTRACE_DIR=self.recordings + EVIL, MEMTRACE_TERMINATION_LOG=log)
        process.send_signal(signal.SIGUSR2)
        harness.wait_until(lambda: os.path.exists(log) and os.path.getsize(log) > 100, what="the summary")
        with open(log, "rb") as file:
            self.assert_harmless(file.read(), of_the_library=True)
        done = subprocess.run([harness.TOOL, "run", "--dir", self.root + "/" + EVIL, "--", "/bin/true"], capture_output=True, check=True,
                              timeout=harness.TIMEOUT_S)
        self.assertIn(b"recording to", done.stderr)
        self.assert_harmless(done.stderr, of_the_library=True)


if __name__ == "__main__":
    harness.main()
