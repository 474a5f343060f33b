"""A Docker container from `docker run` through its OOM kill, its state, its events and `docker cp` to the report."""

import json
import os
import unittest

import harness
from docker_daemon import DockerDaemon
from file_tree import FileTree
from kernel_log import KernelLog

LIMIT = "64m"
LIMIT_BYTES = 64 << 20


def setUpModule():
    global docker
    docker = DockerDaemon()
    unittest.addModuleCleanup(docker.close)
    docker.need_memory_limits()
    tree = FileTree().add_program("usr/bin/hog", harness.program("hog")).add_busybox("sh", "sleep")
    docker.make_image("shop", tree.add("usr/lib/libmemtrace.so", harness.LIBRARY))


class Container(harness.Case):
    recorded = ("-e", "LD_PRELOAD=/usr/lib/libmemtrace.so", "-e", "MEMTRACE_DIR=/recordings", "-e", "MEMTRACE_FOLLOW=none", "-e",
                "MEMTRACE_SAMPLE=16KiB")  # thousands of samples of what fills the limit: the verdict is not left to chance

    def setUp(self):
        super().setUp()
        self.log = KernelLog()
        self.name = "shop-" + os.path.basename(self.root)

    def run_container(self, *arguments, options=()):
        return docker.run("--memory=" + LIMIT, "--memory-swap=" + LIMIT, "--name=" + self.name, *options, "shop", *arguments)

    def save(self, name, text):
        path = os.path.join(self.work, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def inspect(self, **state):
        """The saved state of the container, in which `state` replaces what docker says."""
        document = docker.inspect(self.name)
        document["State"] |= state
        return self.save("inspect.json", json.dumps([document]))

    def events(self):
        return self.save("events.json", docker.events())

    def kernel_log(self):
        return self.save("kernel.log", self.log.since())

    def copied_recordings(self):
        target = os.path.join(self.work, "recordings")
        docker.call("cp", f"{self.name}:/recordings", target)
        return target


class Killed(Container):
    def test_a_leak_with_all_evidence(self):
        done = self.run_container("/usr/bin/hog", "leak", options=self.recorded)
        self.assertEqual(done.returncode, 137)
        state = docker.inspect(self.name)
        # Docker may miss that a real kill was one; the report repeats what it says.
        says = state["State"]["OOMKilled"]
        report = self.report(self.copied_recordings(), self.inspect(), self.events(), self.kernel_log())
        self.assertEqual(report["verdict"]["cause"], "native-leak", report["verdict"])
        self.assertEqual(report["target"]["container_id"] or state["Id"], state["Id"])
        self.assertEqual((report["oom"]["container_oom_killed"], report["oom"]["exit_code"]), (says, 137))
        kill = next(kill for kill in report["oom"]["kills"] if kill["is_target"])
        self.assertEqual((kill["container_id"], kill["limit_kb"]), (state["Id"], LIMIT_BYTES >> 10))
        evidence = "\n".join(report["verdict"]["evidence"])
        for file in ("kernel.log:", *(("inspect.json:", "events.json:") if says else ())):
            self.assertIn(file, evidence)
        # The process saw itself as PID 1, the kernel's log names it by the host's number.
        self.assertEqual(report["target"]["pid"], 1)
        self.assertNotEqual(kill["pid"], 1)

    def test_the_state_alone_is_no_leak(self):
        self.run_container("/usr/bin/hog", "leak")
        report = self.report(self.inspect(OOMKilled=True))  # which docker misses now and then
        self.assertEqual(report["verdict"]["cause"], "unknown")
        self.assertIn("killed for memory", report["verdict"]["summary"])
        self.assertEqual(report["oom"]["kills"], [])

    def test_shared_memory(self):
        done = self.run_container("/usr/bin/hog", "write", "/dev/shm", options=("--shm-size=1g", *self.recorded))
        self.assertEqual(done.returncode, 137)
        report = self.report(self.copied_recordings(), self.inspect(), self.kernel_log())
        self.assertEqual(report["verdict"]["cause"], "shmem", report["verdict"])
        self.assertTrue(any(line.startswith("docker run --shm-size=") for line in report["verdict"]["advice"]))

    def test_a_child_is_killed_and_the_container_lives(self):
        script = "/usr/bin/hog leak; echo child ended with $?; sleep 1"
        done = self.run_container("/bin/sh", "-c", script)
        self.assertEqual((done.returncode, done.stdout), (0, "child ended with 137\n"))
        report = self.report(self.inspect(), self.events(), self.kernel_log())
        self.assertNotEqual(report["verdict"]["cause"], "not-oom", report["verdict"])
        self.assertEqual([kill["comm"] for kill in report["oom"]["kills"] if kill["is_target"]], ["hog"])
        self.assertEqual(report["oom"]["exit_code"], 0)


class Stopped(Container):
    def test_docker_kill_is_no_oom(self):
        self.run_container("/usr/bin/hog", "wait", options=("-d", *self.recorded))
        harness.wait_until(lambda: docker.inspect(self.name)["State"]["Running"], what="the container")
        docker.call("kill", self.name)
        harness.wait_until(lambda: not docker.inspect(self.name)["State"]["Running"], what="the end")
        self.assertEqual(docker.inspect(self.name)["State"]["ExitCode"], 137)
        report = self.report(self.inspect(), self.events())
        self.assertEqual(report["verdict"]["cause"], "not-oom", report["verdict"])
        # Without the events nobody knows who sent the signal.
        report = self.report(self.inspect())
        self.assertEqual(report["verdict"]["cause"], "unknown", report["verdict"])
        self.assertIn("not who sent it", report["verdict"]["summary"])


if __name__ == "__main__":
    harness.main()
