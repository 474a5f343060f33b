"""Real kills under cgroup version 2, in a virtual machine: memory.events, memory.peak, memory.oom.group, nested limits."""

import os
import re
import shutil
import tempfile

import harness
from file_tree import FileTree
from virtual_machine import VirtualMachine

LIMIT_BYTES = 32 << 20

# Each scene: a cgroup of 32 MiB, a hog in it, and in /out/SCENE all that a user could collect afterwards.
SCRIPT = """
cd /sys/fs/cgroup
ifconfig lo 127.0.0.1 up
echo 5000 > /proc/sys/net/core/somaxconn
export MEMTRACE_SAMPLE=16KiB MEMTRACE_KEEP=always MEMTRACE_FOLLOW=none MEMTRACE_QUIET=1

collect() {
  mkdir -p /out/$scene/cgroup
  dmesg -c > /out/$scene/dmesg
  for file in memory.current memory.max memory.peak memory.events memory.stat memory.pressure pids.current; do
    cat $1/$file > /out/$scene/cgroup/$file
  done
  cp -r /data/$scene /out/$scene/recordings
}

# scene NAME DIRECTORY COMMAND...: run by a shell inside the cgroup, recorded
scene() {
  scene=$1; directory=$2; shift 2
  dmesg -c > /dev/null
  MEMTRACE_DIR=/data/$scene sh -c "echo \\$\\$ > $directory/cgroup.procs; export LD_PRELOAD=/usr/lib/libmemtrace.so; exec $*"
  echo "$scene ended with $?"
}

limited() {
  mkdir $1
  echo 33554432 > $1/memory.max
}

for kind in @KINDS@; do
  limited $kind
  place=/data
  [ $kind = write ] && place=/dev/shm
  scene $kind $kind timeout -s KILL 120 /usr/bin/hog $kind $place
  collect $kind
  for pid in $(cat $kind/cgroup.procs); do kill -9 $pid; done
  rm -f /dev/shm/*
done

limited nested
echo +memory > nested/cgroup.subtree_control
mkdir nested/inner
echo 67108864 > nested/inner/memory.max
scene nested nested/inner /usr/bin/hog leak
collect nested

limited group
echo 1 > group/memory.oom.group
scene=group
dmesg -c > /dev/null
mkdir /data/group
sh -c 'echo $$ > group/cgroup.procs; /usr/bin/hog wait & /usr/bin/hog wait & exec /usr/bin/hog leak'
echo "group ended with $?"
collect group
"""


class Version2(harness.Case):
    """Boots once, plays the scenes of `kinds`, the nested and the group one."""

    kinds = ("leak", "write", "sockets", "mmap")

    @classmethod
    def setUpClass(cls):
        tree = FileTree().add_program("usr/bin/hog", harness.program("hog"))
        tree.add("usr/lib/libmemtrace.so", harness.LIBRARY)
        machine = VirtualMachine(tree, SCRIPT.replace("@KINDS@", " ".join(cls.kinds)))
        cls.out = tempfile.mkdtemp(prefix="memtrace-vm-out-")
        cls.addClassCleanup(shutil.rmtree, cls.out, True)
        machine.run(cls.out, timeout=900)
        with open(os.path.join(cls.out, "script.out")) as file:
            cls.console = file.read()

    def report_on(self, scene, *kinds_of_evidence, recorded=True):
        folder = os.path.join(self.out, scene)
        evidence = [os.path.join(folder, kind) for kind in kinds_of_evidence or ("dmesg", "cgroup")]
        return self.report(*([os.path.join(folder, "recordings")] if recorded else []), *evidence)

    def assert_killed(self, scene, report, cause):
        self.assertIn(f"{scene} ended with 137", self.console)
        self.assertEqual(report["verdict"]["cause"], cause, report["verdict"])
        kill = next(kill for kill in report["oom"]["kills"] if kill["is_target"])
        self.assertEqual((kill["comm"], kill["scope"], kill["limit_kb"]), ("hog", "memcg", LIMIT_BYTES >> 10))
        return kill


class Scenes(Version2):
    def test_leak(self):
        report = self.report_on("leak")
        kill = self.assert_killed("leak", report, "native-leak")
        self.assertEqual((kill["oom_memcg"], kill["task_memcg"]), ("/leak", "/leak"))
        self.assertEqual(report["cgroup"]["version"], 2)

    def test_counters_and_peak(self):
        report = self.report_on("leak", "cgroup", recorded=False)
        self.assertEqual((report["cgroup"]["oom_kills"], report["cgroup"]["limit_bytes"]), (1, LIMIT_BYTES))
        self.assertIn("counters show an OOM kill", report["verdict"]["summary"])
        with open(os.path.join(self.out, "leak", "cgroup", "memory.peak")) as file:
            peak = file.read()
        if peak:  # memory.peak is of Linux 5.19
            self.assertEqual(report["cgroup"]["peak_bytes"], int(peak))

    def test_tmpfs(self):
        self.assert_killed("write", self.report_on("write"), "shmem")

    def test_sockets(self):
        self.assert_killed("sockets", self.report_on("sockets"), "sockets")

    def test_memory_of_mmap(self):
        self.assert_killed("mmap", self.report_on("mmap"), "untracked-anon")

    def test_a_limit_above(self):
        report = self.report_on("nested")
        kill = self.assert_killed("nested", report, "ancestor-limit")
        self.assertEqual((kill["oom_memcg"], kill["task_memcg"]), ("/nested", "/nested/inner"))

    def test_a_group_dies_together(self):
        report = self.report_on("group", "dmesg", recorded=False)
        self.assertIn("group ended with 137", self.console)
        self.assertEqual(len(report["oom"]["kills"]), 3)
        self.assertEqual(len({kill["pid"] for kill in report["oom"]["kills"]}), 3)
        self.assertEqual({kill["oom_memcg"] for kill in report["oom"]["kills"]}, {"/group"})

    def test_the_budget_closes(self):
        """The kernel's own parts of the usage, against its usage: within 0.1 %, as long as 5.18's `kernel` is there."""
        for scene in self.kinds:
            with open(os.path.join(self.out, scene, "dmesg")) as file:
                log = file.read()
            usage = int(re.search(r"memory: usage (\d+)kB", log)[1]) << 10
            parts = sum(int(re.search(rf"\] {name} (\d+)", log)[1]) for name in ("anon", "file", "kernel", "sock"))
            self.assertAlmostEqual(parts / usage, 1, delta=0.001, msg=scene)


if __name__ == "__main__":
    harness.main()
