"""The image of packaging/Dockerfile: runs the helper, and brings library and helper into a volume, as the init container does."""

import os
import shutil

import docker_daemon
import harness

DOCKERFILE = os.path.join(os.path.dirname(__file__), "../../packaging/Dockerfile")
IMAGE = "memtrace:test"
LATE = harness.LIBRARY.removesuffix(".so") + "-late.so"


class Image(harness.Case):
    def setUp(self):
        super().setUp()
        self.docker = docker_daemon.DockerDaemon()
        self.addCleanup(self.docker.close)
        context = os.path.join(self.root, "installed")
        for file, folder in ((harness.TOOL, "bin"), (harness.LIBRARY, "lib/memtrace"), (LATE, "lib/memtrace")):
            os.makedirs(os.path.join(context, folder), exist_ok=True)
            shutil.copy(file, os.path.join(context, folder))
        self.docker.call("build", "-f", DOCKERFILE, "-t", IMAGE, context)

    def test_runs_and_installs(self):
        self.assertEqual(self.docker.run(IMAGE, "lib", check=True).stdout, "/lib/memtrace/libmemtrace.so\n")
        volume = os.path.join(self.root, "volume")
        os.mkdir(volume)
        os.chmod(volume, 0o777)  # an emptyDir
        self.docker.run("-v", volume + ":/memtrace", IMAGE, "install", "/memtrace", check=True)
        self.assertEqual(sorted(os.listdir(volume)), ["libmemtrace-late.so", "libmemtrace.so", "memtrace"])
        for name, source in (("libmemtrace.so", harness.LIBRARY), ("libmemtrace-late.so", LATE), ("memtrace", harness.TOOL)):
            with open(os.path.join(volume, name), "rb") as copy, open(source, "rb") as original:
                self.assertEqual(copy.read(), original.read(), name)
            self.assertEqual(os.stat(os.path.join(volume, name)).st_mode & 0o777, 0o755)


if __name__ == "__main__":
    harness.main()
