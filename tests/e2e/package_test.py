"""The Debian package that cpack makes of this build, and the image that is made of it."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import docker_daemon
import harness
import worlds

BUILD = os.environ["E2E_BUILD"]
PACKAGING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../packaging")
LONG_S = 1200
FILES = ("usr/bin/memtrace", "usr/bin/memtrace-report", "usr/lib/memtrace/libmemtrace.so", "usr/lib/memtrace/libmemtrace-late.so",
         "usr/share/bash-completion/completions/memtrace", "usr/share/doc/memtrace/changelog.gz", "usr/share/doc/memtrace/copyright",
         "usr/share/man/man1/memtrace-report.1.gz", "usr/share/man/man1/memtrace.1.gz", "usr/share/man/man7/libmemtrace.7.gz",
         "usr/share/zsh/site-functions/_memtrace")
# memtrace is static and the library needs nothing by intention; nobody has an address; the changelog is the project's; cpack runs
# ldconfig for any *.so.
ACCEPTED = ("malformed-contact", "syntax-error-in-debian-changelog", "statically-linked-binary", "shared-library-lacks-prerequisites", "maintscript-calls-ldconfig")


def make_package(build, folder):
    """The path of what cpack makes there."""
    subprocess.run(["cpack", "--config", os.path.join(build, "CPackConfig.cmake"), "-B", folder], check=True, capture_output=True,
                   cwd=folder)
    shutil.rmtree(os.path.join(folder, "_CPack_Packages"), True)
    package, = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".deb")]
    return package


def setUpModule():
    global FOLDER, PACKAGE
    if not shutil.which("dpkg-shlibdeps"):
        raise AssertionError("there is no dpkg-shlibdeps: package dpkg-dev")
    FOLDER = tempfile.mkdtemp(prefix="mt-package-")
    unittest.addModuleCleanup(shutil.rmtree, FOLDER, True)
    PACKAGE = make_package(BUILD, FOLDER)


class Packaged(harness.Case):
    def output(self, *command, **run):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=harness.TIMEOUT_S, **run).stdout


class Package(Packaged):
    def test_its_files(self):
        listed = self.output("dpkg-deb", "-c", PACKAGE)
        for name in FILES:
            self.assertIn(f" ./{name}\n", listed)
        self.assertNotIn("-rwxrwx", listed)
        owners = {line.split()[1] for line in listed.splitlines()}
        self.assertEqual(owners, {"root/root"})

    def test_its_control_file(self):
        architecture = self.output("dpkg", "--print-architecture").strip()
        self.assertEqual(self.output("dpkg-deb", "-f", PACKAGE, "Package", "Architecture").split(),
                         ["Package:", "memtrace", "Architecture:", architecture])
        depends = self.output("dpkg-deb", "-f", PACKAGE, "Depends")
        for library in ("libc6", "libdw1", "libstdc++6"):
            self.assertIn(library, depends)
        self.assertIn("libcurl4", self.output("dpkg-deb", "-f", PACKAGE, "Recommends"))

    def test_what_is_unpacked_works(self):
        root = os.path.join(self.root, "unpacked")
        self.output("dpkg-deb", "-x", PACKAGE, root)
        self.assertEqual(self.output(root + "/usr/bin/memtrace", "lib"), root + "/usr/lib/memtrace/libmemtrace.so\n")
        self.output(root + "/usr/bin/memtrace", "run", "--quiet", "--dir", self.recordings, "--", "/bin/true")
        self.assertIn("/bin/true", self.output(root + "/usr/bin/memtrace-report", self.recording()))

    def test_lintian(self):
        if not shutil.which("lintian"):
            self.skipTest("there is no lintian: package lintian")
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "none", PACKAGE], capture_output=True, text=True, check=False,
                              timeout=600)
        tags = [line for line in done.stdout.splitlines() if line[:3] in ("E: ", "W: ") and line.split()[2] not in ACCEPTED]
        self.assertEqual(tags, [])


class Arm64(Packaged):
    """The package for arm64, of what the preset of that name built; its programs under qemu-user."""

    def test_its_contents(self):
        world = worlds.EMULATED[0]
        world.prepare()
        folder = os.path.join(self.root, "package")
        os.mkdir(folder)
        package = make_package(world.build, folder)
        self.assertTrue(package.endswith("_arm64.deb"), package)
        self.assertEqual(self.output("dpkg-deb", "-f", package, "Architecture"), "arm64\n")
        listed = self.output("dpkg-deb", "-c", package)
        for name in FILES:
            self.assertIn(f" ./{name}\n", listed)
        # What the package of this machine's architecture needs, by the same names.
        needed = [set(re.findall(r"[\w.+-]+(?=\s*(?:\(|,|$))", self.output("dpkg-deb", "-f", file, "Depends"))) for file in (package, PACKAGE)]
        self.assertLessEqual({name for name in needed[1] if name.startswith("lib")}, needed[0])
        root = os.path.join(self.root, "unpacked")
        self.output("dpkg-deb", "-x", package, root)
        for name in FILES[:4]:
            self.assertIn("AArch64", self.output("readelf", "-h", os.path.join(root, name)))
        tool, reporter = root + "/usr/bin/memtrace", root + "/usr/bin/memtrace-report"
        self.assertRegex(self.output(*world.command([tool, "--version"])), r"\Amemtrace \d")
        self.assertRegex(self.output(*world.command([reporter, "--version"])), r"\Amemtrace-report \d")
        self.assertEqual(self.output(*world.command([tool, "lib"])), root + "/usr/lib/memtrace/libmemtrace.so\n")


class ReportImage(harness.Case):
    """The image of packaging/Dockerfile.report, on the Debian 12 that scripts/worlds made."""

    def setUp(self):
        super().setUp()
        base = os.path.join(os.environ.get("MEMTRACE_WORLDS", "/var/cache/memtrace-worlds"), "bookworm")
        if not os.path.exists(base + "/usr/bin/apt-get"):
            self.skipTest(f"there is no {base}, which scripts/worlds makes")
        self.docker = docker_daemon.DockerDaemon()
        self.addCleanup(self.docker.close)
        left_out = ["./proc/*", "./sys/*", "./usr/lib/gcc", "./usr/include", "./tmp/*"]
        with subprocess.Popen(["tar", "-C", base, "--one-file-system", *("--exclude=" + name for name in left_out), "-c", "."],
                              stdout=subprocess.PIPE) as tar:
            self.docker.call("import", "-", "debian:12-slim", stdin=tar.stdout, timeout=LONG_S)
        done = self.docker.call("build", "--network=host", "-f", os.path.join(PACKAGING, "Dockerfile.report"), "-t", "memtrace-report:test",
                                FOLDER, check=False, timeout=LONG_S)
        if re.search(r"Temporary failure resolving|Could not connect|Unable to connect", done.stdout + done.stderr):
            self.skipTest("apt-get in a container reaches no mirror")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_reads_a_recording(self):
        self.assertEqual(self.run_program(harness.program("sites")).status, 0)
        recording = self.recording()
        os.chmod(self.root, 0o755)
        os.chmod(recording, 0o644)  # its user is not root
        done = self.docker.run("-v", self.recordings + ":/in:ro", "--read-only", "memtrace-report:test", "--no-cache", "--no-symbols", "/in")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("Verdict: ", done.stdout)
        self.assertNotEqual(self.docker.inspect(self.docker.call("ps", "-aq").stdout.split()[0])["Config"]["User"], "")
        # What is loaded only when it is needed: curl for --push, which needs a server to go on.
        pushed = self.docker.run("-v", self.recordings + ":/in:ro", "memtrace-report:test", "--no-symbols", "--push", "http://127.0.0.1:9", "/in")
        self.assertEqual(pushed.returncode, 1)
        self.assertIn("127.0.0.1", pushed.stderr)
        self.assertNotIn("libcurl", pushed.stderr)


if __name__ == "__main__":
    harness.main()
