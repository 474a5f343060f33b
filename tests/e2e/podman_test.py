"""`memtrace` knows containers of podman by their names, running and dead."""

import os
import shlex
import shutil
import subprocess

import file_tree
import harness

COMMANDED = "on_command"


class Podman(harness.Case):
    """A podman of the test's own: private storage, no network."""

    def setUp(self):
        super().setUp()
        podman = shutil.which("podman")
        if os.getuid() != 0 or not podman:
            self.skipTest("only root can run containers here" if podman else "there is no podman: package podman")
        # Whoever calls `podman`, memtrace too, gets this one.
        wrapper = os.path.join(self.root, "bin/podman")
        os.makedirs(os.path.dirname(wrapper))
        options = ["--root", self.root + "/storage", "--runroot", self.root + "/run", "--storage-driver=vfs",
                   "--cgroup-manager=cgroupfs", "--events-backend=file", "--tmpdir", self.root + "/tmp"]
        with open(wrapper, "w", encoding="utf-8") as script:
            script.write(f'#!/bin/sh\nexec {podman} {shlex.join(options)} "$@"\n')
        os.chmod(wrapper, 0o755)
        self.env = {**os.environ, "PATH": os.path.dirname(wrapper) + ":" + os.environ["PATH"], "DOCKER_HOST": "unix:///nonexistent"}
        self.name = "mt-" + os.path.basename(self.root).lower().replace("_", "-")
        self.import_image("shop", file_tree.FileTree().add_program("app/" + COMMANDED, harness.program(COMMANDED)))
        done = self.podman("run", "--rm", *self.options(), "shop", "/app/" + COMMANDED)
        if done.returncode != 0:
            self.skipTest("podman cannot run a container here: " + done.stderr.strip()[-500:])

    def podman(self, *arguments):
        return subprocess.run(["podman", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=harness.TIMEOUT_S, env=self.env)

    def import_image(self, name, tree):
        path = os.path.join(self.root, "image.tar")
        with open(path, "wb") as file:
            tree.write_tar(file)
        done = self.podman("import", path, name)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.addCleanup(self.podman, "rm", "-a", "-f")

    def options(self):
        # Its default limits may be above those of this process.
        return ["--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]

    def memtrace(self, *arguments):
        done = subprocess.run([harness.TOOL, *arguments], capture_output=True, text=True, check=False, timeout=harness.TIMEOUT_S, env=self.env)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def live_bytes(self, *paths):
        return [site["live_bytes"] for site in self.report(*paths)["sites"] if site["allocations"] == 70]

    def test_injected_frozen_and_collected(self):
        line = self.memtrace("inject", "docker", "--sample", "1", "--keep", "always", "--", "podman", "run", "-i", "--name", self.name,
                             *self.options(), "shop", "/app/" + COMMANDED)
        process = subprocess.Popen(["sh", "-c", "exec " + line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.env)
        self.addCleanup(self._end, process)
        self.await_line(process)
        process.stdin.write(b"keep 70 1000\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"ok\n")
        path = self.memtrace("snapshot", self.name, "-o", self.work).strip()
        self.assertEqual(self.live_bytes(path), [70_000])
        self.assertIn("inspect: podman", self.memtrace("collect", self.name, "-o", self.root + "/running"))
        process.stdin.close()
        process.stdin = None
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out), (0, b"done\n"), err)
        self.memtrace("collect", self.name, "-o", self.root + "/dead")
        for collection in ("running", "dead"):
            directory = os.path.join(self.root, collection)
            self.assertEqual(self.live_bytes(directory), [70_000], collection)
            with open(directory + "/evidence/inspect.json", encoding="utf-8") as inspect:
                self.assertIn(self.name, inspect.read())


if __name__ == "__main__":
    harness.main()
