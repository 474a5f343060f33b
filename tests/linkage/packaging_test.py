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

    def one_round(self):
        script = textwrap.dedent(read("packaging/daemonset.yaml").partition("            - |\n")[2].partition("          securityContext")[0])
        self.assertIn("sleep 10\n", script)
        script = script.replace("sleep 10\n", "exit 0\n").replace("/pods", self.root + "/pods").replace("/kept", self.kept)
        done = subprocess.run([BUSYBOX, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=30)
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
