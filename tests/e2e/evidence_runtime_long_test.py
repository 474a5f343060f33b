"""A JVM whose heap does not fit into the limit beside its own memory."""

import shutil
import subprocess

import harness
from evidence_kill_test import Killed, MIB
from memory_cgroup import MemoryCgroup

LIMIT_BYTES = 256 * MIB


class JavaHeap(Killed):
    def setUp(self):
        super().setUp()
        if not shutil.which("java"):
            self.skipTest("there is no java: package openjdk-17-jre-headless")
        self.empty_cgroup()
        self.cgroup = MemoryCgroup(LIMIT_BYTES)

    def test_a_heap_as_large_as_the_limit(self):
        heap = ("-Xms256m", "-Xmx256m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC")
        java = self.start("java", *heap, "-version", env={"MEMTRACE_SAMPLE": "auto"}, preexec_fn=self.cgroup.enter,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        java.wait(harness.TIMEOUT_S)
        self.assertEqual(java.returncode, -9)
        report = self.report(self.recordings, self.evidence())
        self.assert_cause(report, "managed-heap")
        self.assertIn("the JVM", report["verdict"]["summary"])
        self.assertIn("docker run -e JAVA_TOOL_OPTIONS=-XX:MaxRAMPercentage=60", report["verdict"]["advice"])
        self.assertGreater(report["verdict"]["recommended_limit_bytes"], LIMIT_BYTES)


del Killed  # its cases are those of another file

if __name__ == "__main__":
    harness.main()
