"""The manifests of packaging/ say what `memtrace inject` says, and the script in one of them does what it promises."""

import itertools
import os
import re
import shutil
import subprocess
import tempfile
import textwrap
import unittest

ROOT = os.environ["LINKAGE_SOURCES"]
TOOL = os.environ["LINKAGE_TOOL"]
BUSYBOX = "/usr/bin/busybox"
POD = """kind: Pod
spec:
  containers:
    - name: app
"""


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def block(text, key):
    """What is indented below `key:`, without that indentation."""
    start = re.search(rf"^( *(?:- )?){key}:\n", text, re.MULTILINE)
    lines = text[start.end():].splitlines(keepends=True)
    deeper = " " * (len(start[1]) + 1)
    return textwrap.dedent("".join(itertools.takewhile(lambda line: line.startswith(deeper), lines)))


class Policy(unittest.TestCase):
    def test_adds_what_inject_adds(self):
        injected = subprocess.run([TOOL, "inject", "kubernetes", "-"], input=POD, capture_output=True, text=True, check=True).stdout
        policy = read("packaging/kyverno-policy.yaml")
        for key in ("initContainers", "volumes", "env"):
            self.assertIn(block(injected, key), block(policy, key), key)


class DaemonSet(unittest.TestCase):
    def setUp(self):
        if not os.path.exists(BUSYBOX):
            self.skipTest("there is no busybox: package busybox-static")
        self.root = tempfile.mkdtemp(prefix="mt-daemonset-")
        self.addCleanup(shutil.rmtree, self.root)
        self.recordings = os.path.join(self.root, "pods/uid-1/volumes/kubernetes.io~empty-dir/memtrace/recordings")
        self.kept = os.path.join(self.root, "kept")
        os.makedirs(self.recordings)
        os.mkdir(self.kept)

    def add(self, name):
        path = os.path.join(self.recordings, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(name)
        return path

    def one_round(self, number=0, shell=(BUSYBOX, "sh"), **run):
        """Of the script of one container, in directories of the test."""
        part = read("packaging/daemonset.yaml").split("            - |\n")[number + 1]
        script = re.split(r"^          \w", part, flags=re.MULTILINE)[0]
        script, ends = re.subn(r"sleep \d+\n", "exit 0\n", textwrap.dedent(script))
        self.assertEqual(ends, 1)
        script = re.sub(r"/(pods|kept|pushed)\b", lambda found: self.root + found[0], script)
        done = subprocess.run([*shell, "-c", script], capture_output=True, text=True, check=False, timeout=30, **run)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_keeps_snapshots_and_nothing_else(self):
        self.add("a.1.snap")
        self.add("a.rec")
        with open(os.path.join(self.root, "secret"), "w", encoding="utf-8"):
            os.symlink(os.path.join(self.root, "secret"), os.path.join(self.recordings, "link.snap"))
        os.mkfifo(os.path.join(self.recordings, "fifo.snap"))
        self.one_round()
        self.add("b c.2.snap")
        self.one_round()
        self.assertEqual(sorted(os.listdir(self.kept + "/uid-1")), ["a.1.snap", "b c.2.snap"])
        self.assertEqual(os.stat(self.kept + "/uid-1/a.1.snap").st_mode & 0o777, 0o600)

    def test_old_ones_go(self):
        old = os.path.join(self.kept, "old.snap")
        with open(old, "w", encoding="utf-8"):
            os.utime(old, (0, 0))
        self.add("new.snap")
        self.one_round()
        self.assertFalse(os.path.exists(old))
        self.assertTrue(os.path.exists(self.kept + "/uid-1/new.snap"))

    def test_pushes_each_snapshot_once_and_failures_again(self):
        log, bin_folder = os.path.join(self.root, "log"), os.path.join(self.root, "bin")
        os.mkdir(bin_folder)
        with open(bin_folder + "/memtrace-report", "w", encoding="utf-8") as program:
            program.write(f'#!/bin/sh\necho "$@" >> {log}\ncase "$*" in *refused*) exit 1;; *damaged*) exit 3;; esac\n')
        os.chmod(bin_folder + "/memtrace-report", 0o755)
        os.mkdir(self.root + "/pushed")
        os.makedirs(self.kept + "/uid-1")
        for name in ("good one.snap", "refused.snap", "damaged.snap", ".new"):
            open(f"{self.kept}/uid-1/{name}", "w", encoding="utf-8").close()
        old = f"{self.kept}/uid-1/old.snap"
        with open(old, "w", encoding="utf-8"):
            os.utime(old, (0, 0))
        env = {"PATH": bin_folder + ":/usr/bin:/bin", "PUSH_URL": "http://x:1", "NODE": "n1"}
        for _ in range(2):
            self.one_round(1, ("/bin/sh",), env=env)
        with open(log, encoding="utf-8") as file:
            lines = sorted(file.read().splitlines())
        sent = "--no-cache --push http://x:1 --push-label node=n1 --push-label pod_uid=uid-1 ./uid-1/"
        self.assertEqual(lines, sorted(sent + name for name in ("damaged.snap", "good one.snap", "refused.snap", "refused.snap")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
