"""From a Docker container to the report: preloaded, attached to, frozen, killed, collected from after its death."""

import os
import signal
import subprocess
import unittest

import docker_daemon
import file_tree
import harness

LEAKS = "leak_until_killed"
COMMANDED = "on_command"


def setUpModule():
    global DOCKER
    DOCKER = docker_daemon.DockerDaemon()
    unittest.addModuleCleanup(DOCKER.close)
    tree = file_tree.FileTree()
    for name in (LEAKS, COMMANDED):
        tree.add_program("app/" + name, harness.program(name))
    tree.add("app/libmemtrace.so", harness.LIBRARY)
    DOCKER.make_image("glibc", tree)
    # FROM scratch: nothing but the static helper, the library, and a program with its libraries.
    scratch = file_tree.FileTree().add_program("app/" + COMMANDED, harness.program(COMMANDED))
    scratch.add("app/memtrace", harness.TOOL, 0o755).add("app/libmemtrace.so", harness.LIBRARY)
    DOCKER.make_image("scratch-helper", scratch)
    musl = harness.program(COMMANDED + ".musl")
    if os.path.exists(musl):
        tree = file_tree.FileTree().add("app/" + COMMANDED, musl, 0o755)
        loader = subprocess.run(["readelf", "-l", musl], capture_output=True, text=True, check=True).stdout
        loader = loader.split("interpreter: ")[1].split("]")[0]
        tree.add(loader, os.path.realpath(loader), 0o755).add("app/libmemtrace.so", harness.LIBRARY)
        DOCKER.make_image("musl", tree)


class Container(harness.Case):
    def memtrace(self, *arguments):
        return subprocess.run([harness.TOOL, *map(str, arguments)], capture_output=True, text=True, check=False,
                              timeout=harness.TIMEOUT_S, env=DOCKER.environment())

    def done(self, *arguments):
        result = self.memtrace(*arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def start_container(self, image, command=("/app/" + COMMANDED,), preload=False, options=()):
        """A container that reads commands from us; its name, and the `docker run` that speaks for it."""
        self.name = "mt-" + os.path.basename(self.root).lower().replace("_", "-")
        environment = ["LD_PRELOAD=/app/libmemtrace.so", "MEMTRACE_SAMPLE=1", "MEMTRACE_KEEP=always"] if preload else []
        process = subprocess.Popen(
            ["docker", "run", "-i", "--network=none", "--name", self.name, *options,
             *[word for variable in environment for word in ("-e", variable)], image, *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=DOCKER.environment())
        self.addCleanup(self._end, process)
        self.await_line(process)
        self.pid = DOCKER.inspect(self.name)["State"]["Pid"]
        return process

    def order(self, process, line):
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"ok\n")

    def finish(self, process):
        process.stdin.close()
        process.stdin = None
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))

    def live_of_keep(self, report):
        return [site["live_bytes"] for site in report["sites"]
                if any(frame["function"] == "Keep" for frame in site["stack"])]

    def live_of_seventy(self, report):
        """Without names: the program is not where it is in the container."""
        return [site["live_bytes"] for site in report["sites"] if site["allocations"] == 70]

    def test_preloaded_frozen_and_collected(self):
        process = self.start_container("glibc", preload=True)
        self.order(process, "keep 70 1000")
        # By the signal, to PID 1; and from outside, by name.
        DOCKER.call("kill", "--signal=USR2", self.name)
        path = self.done("snapshot", self.name, "-o", self.work).strip()
        self.assertEqual(os.path.dirname(path), self.work)
        self.assertEqual(self.live_of_seventy(self.report(path)), [70_000])
        out = self.done("collect", self.name, "-o", self.root + "/running")
        self.assertIn("memtrace-report", out)
        self.finish(process)
        # Its program is gone from this machine as far as the report can tell: names come from the collection.
        self.done("collect", self.name, "-o", self.root + "/dead")
        for collection in ("running", "dead"):
            directory = os.path.join(self.root, collection)
            names = os.listdir(directory + "/recordings")
            self.assertEqual(any(name.endswith(".rec") for name in names), collection == "dead", names)
            report = self.report(directory, symbols=True)
            self.assertEqual(self.live_of_keep(report), [70_000])
            self.assertEqual(report["target"]["pid"], 1)
            with open(directory + "/evidence/inspect.json") as inspect:
                self.assertIn(self.name, inspect.read())
            with open(directory + "/evidence/events.jsonl") as events:
                self.assertIn(self.name, events.read())
            self.assertEqual(os.stat(directory).st_mode & 0o777, 0o700)

    def attach_from_the_host(self, image, *options):
        process = self.start_container(image, options=options)
        out = self.done("attach", "--sample", "1", self.name)
        self.assertRegex(out, r"\Arecording to /tmp/memtrace/on_command\.1\.\S+\.rec\n")
        self.order(process, "keep 70 1000")
        path = self.done("snapshot", self.name, "-o", self.work).strip()
        self.assertEqual(self.live_of_seventy(self.report(path)), [70_000])
        self.done("detach", self.pid)
        self.finish(process)

    def test_attach_to_glibc(self):
        self.attach_from_the_host("glibc")

    def test_attach_to_musl(self):
        if not os.path.exists(harness.program(COMMANDED + ".musl")):
            self.skipTest("there is no musl-gcc: package musl-tools")
        self.attach_from_the_host("musl")

    def test_attach_inside_of_a_musl_container(self):
        """With what `memtrace install` put into a volume, as the init container does."""
        if not os.path.exists(harness.program(COMMANDED + ".musl")):
            self.skipTest("there is no musl-gcc: package musl-tools")
        volume = os.path.join(self.root, "volume")
        self.assertEqual(self.done("install", volume), volume + "/libmemtrace.so\n")
        process = self.start_container("musl", options=("-v", volume + ":/memtrace", "--cap-add=SYS_PTRACE"))
        attached = DOCKER.call("exec", self.name, "/memtrace/memtrace", "attach", "--sample", "1", "1")
        self.assertRegex(attached.stdout, r"\Arecording to /tmp/memtrace/on_command\S*\.1\.\S+\.rec\n\Z")
        self.order(process, "keep 70 1000")
        path = self.done("snapshot", self.name, "-o", self.work).strip()
        self.assertEqual(self.live_of_seventy(self.report(path)), [70_000])
        self.finish(process)

    def test_attach_to_a_user_without_rights(self):
        self.attach_from_the_host("glibc", "--user=12345:12345", "--cap-drop=ALL", "--security-opt=no-new-privileges",
                                  "--tmpfs=/tmp:mode=1777")

    def test_from_scratch_the_static_helper_runs(self):
        process = self.start_container("scratch-helper", command=(
            "/app/memtrace", "run", "--quiet", "--sample", "1", "--library", "/app/libmemtrace.so", "--", "/app/" + COMMANDED))
        self.order(process, "keep 70 1000")
        path = self.done("snapshot", self.name, "-o", self.work).strip()
        self.assertEqual(self.live_of_seventy(self.report(path)), [70_000])
        inside = DOCKER.call("exec", self.name, "/app/memtrace", "snapshot", "1")
        self.assertRegex(inside.stdout, r"\A/tmp/memtrace/on_command\.1\.\S+\.snap\n\Z")
        # Inside of a container nobody may trace, unless it was granted.
        refused = DOCKER.call("exec", "--user=1", self.name, "/app/memtrace", "attach", "1", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--cap-add SYS_PTRACE", refused.stderr)
        self.finish(process)

    def test_killed_by_its_limit(self):
        DOCKER.need_memory_limits()
        self.name = "mt-oom-" + os.path.basename(self.root).lower().replace("_", "-")
        # As Kubernetes mounts it: a file of its own, which it reads after the death.
        message = os.path.join(self.root, "termination-log")
        open(message, "w").close()
        done = DOCKER.run("--name", self.name, "--memory=100m", "--memory-swap=100m", "-e", "LD_PRELOAD=/app/libmemtrace.so",
                          "-e", "MEMTRACE_SAMPLE=64KiB", "-e", "MEMTRACE_TERMINATION_LOG=/dev/termination-log", "-v", message + ":/dev/termination-log",
                          "glibc", "/app/" + LEAKS, timeout=120)
        self.assertEqual(done.returncode, 128 + signal.SIGKILL)
        with open(message, encoding="utf-8") as file:
            text = file.read()
        self.assertLessEqual(len(text), 4096)
        self.assertRegex(text, rf"\Amemtrace: {LEAKS} \(pid 1\) at \S+, \d\d % of the memory limit\nlive [\d.]+ MiB in \d+ blocks; "
                               r"cgroup [\d.]+ MiB of 100.0 MiB\nsnapshot /tmp/memtrace/\S+\.snap\nlargest by live bytes:\n")
        self.assertIn(f"   {LEAKS}+0x", text)
        snapshot = self.memtrace("snapshot", self.name)
        self.assertEqual(snapshot.returncode, 1)
        self.assertIn("memtrace collect", snapshot.stderr)
        directory = self.root + "/collected"
        self.done("collect", self.name, "-o", directory)
        report = self.report(directory, symbols=True)
        self.assertEqual(report["recording"]["state"], "killed")
        functions = [frame["function"] for frame in report["suspects"][0]["stack"]]
        self.assertIn("Leak", functions)
        with open(directory + "/evidence/inspect.json") as inspect:
            self.assertIn('"ExitCode": 137', inspect.read())  # OOMKilled may be false after a real kill


if __name__ == "__main__":
    harness.main()
