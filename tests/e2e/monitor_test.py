"""memtrace monitor: rows while the target lives, and why it ended."""

import csv
import os
import re
import signal
import subprocess
import sys
import xml.dom.minidom

import harness
from docker_daemon import DockerDaemon
from file_tree import FileTree
from memory_cgroup import MemoryCgroup, need_any

LIMIT_BYTES = 64 << 20
# Holds as many MiB as it is told on standard input, line by line.
HOLDER = """
import sys
held = []
print("ready", flush=True)
for line in sys.stdin:
    held.append(b"x" * (int(line) << 20))
    print("ready", flush=True)
"""


class Monitoring(harness.Case):
    def setUp(self):
        super().setUp()
        need_any()

    def cgroup(self, limit=LIMIT_BYTES):
        made = MemoryCgroup(limit)
        self.addCleanup(made.__exit__)
        return made

    def holder(self, cgroup, **start):
        start.setdefault("preload", False)
        process = self.start(sys.executable, "-c", HOLDER, stdin=subprocess.PIPE, preexec_fn=cgroup.enter, **start)
        self.await_line(process)
        return process

    def hold(self, process, mib, answer=True):
        process.stdin.write(f"{mib}\n".encode())
        process.stdin.flush()
        if answer:
            self.await_line(process)

    def monitor(self, *arguments, interval="50ms", **start):
        return self.start(harness.TOOL, "monitor", *arguments, "--interval", interval, preload=False, **start)

    def rows(self, path):
        with open(path, newline="") as file:
            return list(csv.DictReader(file))

    def await_row(self, path, condition=lambda row: True):
        harness.wait_until(lambda: os.path.exists(path) and any(map(condition, self.rows(path))), what="the row")

    def ended(self, process, status=0):
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual(process.returncode, status, err)
        return out.decode(), err.decode()


class Rows(Monitoring):
    def test_a_process_until_its_oom_kill(self):
        process = self.holder(self.cgroup())
        path, plot, metrics = (os.path.join(self.work, name) for name in ("rows.csv", "plot.svg", "memory.prom"))
        monitor = self.monitor(process.pid, "--csv", path, "--plot", plot, "--openmetrics", metrics)
        self.await_row(path)
        self.hold(process, 30)
        self.await_row(path, lambda row: int(row["memory_bytes"]) > 30 << 20)
        with open(metrics) as file:
            self.assert_metrics(file.read())
        self.hold(process, 100, answer=False)
        self.ended(monitor)
        rows = self.rows(path)
        self.assertRegex(rows[0]["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(list(rows[0])[:3], ["timestamp", "memory_bytes", "memory_percent"])
        self.assertEqual(rows[0]["limit_bytes"], str(LIMIT_BYTES))
        for row in rows[:-1]:
            percent = 100 * int(row["memory_bytes"]) / LIMIT_BYTES
            self.assertAlmostEqual(float(row["memory_percent"]), percent, delta=0.1)
        self.assertEqual([row["event"] for row in rows[:-1] if row["event"].startswith("end")], [])
        self.assertRegex(rows[-1]["event"], r"end: OOM kill .*, killed by signal 9$")
        self.assertEqual(sum("oom_kill" in row["event"].split("; ") for row in rows), 1)
        self.assert_plot(plot, "OOM kill")
        with open(metrics) as file:
            self.assertIn("memtrace_target_up{", file.read())

    def assert_metrics(self, text):
        self.assertTrue(text.endswith("# EOF\n"))
        self.assertRegex(text, r'(?m)^container_memory_usage_bytes\{id="[^"]*",name="\d+"\} \d+$')
        self.assertRegex(text, rf"(?m)^container_spec_memory_limit_bytes\{{.*\}} {LIMIT_BYTES}$")
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) \w+ .*|# EOF|\w+\{id="[^"]*",name="[^"]*"\} [0-9.]+)$')

    def assert_plot(self, path, mark):
        document = xml.dom.minidom.parse(path)
        self.assertEqual(document.documentElement.tagName, "svg")
        words = [node.firstChild.data for node in document.getElementsByTagName("text")]
        self.assertIn(mark, words)
        self.assertIn("64 MiB", words)

    def test_a_process_that_exits(self):
        process = self.holder(self.cgroup())
        path = os.path.join(self.work, "rows.csv")
        monitor = self.monitor(process.pid, "--csv", path)
        self.await_row(path)
        process.stdin.close()
        process.stdin = None
        self.ended(monitor)
        self.assertEqual(self.rows(path)[-1]["event"], "end: exited with status 0")

    def test_a_process_that_someone_kills(self):
        process = self.holder(self.cgroup())
        path = os.path.join(self.work, "rows.csv")
        monitor = self.monitor(process.pid, "--csv", path)
        self.await_row(path)
        process.kill()
        self.ended(monitor)
        self.assertEqual(self.rows(path)[-1]["event"], "end: killed by signal 9")

    def test_a_cgroup(self):
        cgroup = self.cgroup()
        first, second = self.holder(cgroup), self.holder(cgroup)
        path = os.path.join(self.work, "rows.csv")
        monitor = self.monitor(cgroup.directory, "--csv", path)
        self.await_row(path)
        first.kill()
        first.wait()
        self.hold(second, 20)
        self.await_row(path, lambda row: int(row["memory_bytes"]) > 20 << 20)
        self.hold(second, 100, answer=False)
        self.ended(monitor)
        self.assertRegex(self.rows(path)[-1]["event"], "end: OOM kill")

    def test_snapshots_are_marked(self):
        process = self.holder(self.cgroup(), preload=True, env={"MEMTRACE_SNAPSHOT_AT": "none"})
        path, plot = os.path.join(self.work, "rows.csv"), os.path.join(self.work, "plot.svg")
        monitor = self.monitor(process.pid, "--csv", path, "--plot", plot)
        self.await_row(path, lambda row: row["snapshots"] == "0")
        process.send_signal(signal.SIGUSR2)
        self.await_row(path, lambda row: row["event"] == "snapshot" and row["snapshots"] == "1")
        monitor.terminate()
        self.ended(monitor)
        self.assert_plot(plot, "snapshot")

    def test_an_ancestors_limit(self):
        outer = self.cgroup()
        inner = os.path.join(outer.directory, "inner")
        os.mkdir(inner)
        self.addCleanup(os.rmdir, inner)
        out, _ = self.ended(self.monitor(inner, "--count", "1"))
        row = next(csv.DictReader(out.splitlines()))
        self.assertEqual(row["limit_bytes"], str(LIMIT_BYTES))

    def test_standard_output_and_count(self):
        out, err = self.ended(self.monitor("--count", "3"))
        self.assertEqual(len(out.splitlines()), 4)
        self.assertEqual(err, "")

    def test_a_csv_is_continued_and_another_file_is_not_touched(self):
        path = os.path.join(self.work, "rows.csv")
        for _ in range(2):
            self.ended(self.monitor("--count", "2", "--csv", path))
        self.assertEqual(len(self.rows(path)), 4)
        with open(path, "w") as file:
            file.write("precious\n")
        _, err = self.ended(self.monitor("--count", "1", "--csv", path), status=1)
        self.assertIn("not a CSV of this program", err)
        with open(path) as file:
            self.assertEqual(file.read(), "precious\n")

    def test_wrong_command_lines(self):
        _, err = self.ended(self.monitor("no-such-container"), status=1)
        self.assertIn("no-such-container", err)
        _, err = self.ended(self.monitor("/no/such/cgroup"), status=1)
        self.assertIn("there is no memory cgroup", err)
        _, err = self.ended(self.monitor(interval="often"), status=2)
        self.assertIn("5s or 500ms", err)
        _, err = self.ended(self.monitor("--count", "1", "--csv", "/nonexistent/rows.csv"), status=1)
        self.assertIn("No such file or directory", err)
        out, err = self.ended(self.monitor("--count", "1", "--plot", "/dev/full/plot.svg"), status=1)
        self.assertIn("Not a directory", err)


class Container(Monitoring):
    def test_by_name_until_its_oom_kill(self):
        docker = DockerDaemon()
        self.addCleanup(docker.close)
        docker.need_memory_limits()
        docker.make_image("hog", FileTree().add_busybox("sh", "sleep"))
        script = "while [ ! -e /go ]; do sleep 0.05; done; x=a; while true; do x=$x$x; done"
        identity = docker.run("-d", "--memory=32m", "--name=shop", "hog", "/bin/sh", "-c", script, check=True).stdout.strip()
        by_name, by_id = (os.path.join(self.work, name) for name in ("name.csv", "id.csv"))
        env = {"DOCKER_HOST": docker.host}
        monitors = [self.monitor("shop", "--csv", by_name, env=env), self.monitor(identity[:12], "--csv", by_id, env=env)]
        for path in (by_name, by_id):
            self.await_row(path)
        docker.call("exec", "shop", "/bin/sh", "-c", "echo > /go")
        for monitor in monitors:
            self.ended(monitor)
        last = self.rows(by_name)[-1]["event"]
        self.assertIn("end: OOM kill", last)
        # Docker may miss that a real kill was one.
        self.assertRegex(last, "docker says OOMKilled=(true|false), exit code 137")
        self.assertIn("end: OOM kill", self.rows(by_id)[-1]["event"])
        self.assertEqual(self.rows(by_id)[0]["limit_bytes"], str(32 << 20))
        _, err = self.ended(self.monitor("shop", env=env), status=1)
        self.assertIn("the container shop is not running", err)


if __name__ == "__main__":
    harness.main()
