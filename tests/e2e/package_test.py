"""The Debian package that cpack makes of this build."""

import os
import shutil
import subprocess
import tempfile

import harness

BUILD = os.environ["E2E_BUILD"]
FILES = ("usr/bin/memtrace", "usr/bin/memtrace-report", "usr/lib/memtrace/libmemtrace.so", "usr/lib/memtrace/libmemtrace-late.so",
         "usr/share/bash-completion/completions/memtrace", "usr/share/doc/memtrace/changelog.gz", "usr/share/doc/memtrace/copyright",
         "usr/share/man/man1/memtrace-report.1.gz", "usr/share/man/man1/memtrace.1.gz", "usr/share/man/man7/libmemtrace.7.gz",
         "usr/share/zsh/site-functions/_memtrace")
# memtrace is static and the library needs nothing by intention; nobody has an address; the changelog is the project's; cpack runs
# ldconfig for any *.so.
ACCEPTED = ("malformed-contact", "syntax-error-in-debian-changelog", "statically-linked-binary", "shared-library-lacks-prerequisites", "maintscript-calls-ldconfig")


class Package(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not shutil.which("dpkg-shlibdeps"):
            raise AssertionError("there is no dpkg-shlibdeps: package dpkg-dev")
        cls.folder = tempfile.mkdtemp(prefix="mt-package-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        subprocess.run(["cpack", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", cls.folder], check=True, capture_output=True,
                       cwd=cls.folder)
        cls.package, = [os.path.join(cls.folder, name) for name in os.listdir(cls.folder) if name.endswith(".deb")]

    def output(self, *command, **run):
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=harness.TIMEOUT_S, **run).stdout

    def test_its_files(self):
        listed = self.output("dpkg-deb", "-c", self.package)
        for name in FILES:
            self.assertIn(f" ./{name}\n", listed)
        self.assertNotIn("-rwxrwx", listed)
        owners = {line.split()[1] for line in listed.splitlines()}
        self.assertEqual(owners, {"root/root"})

    def test_its_control_file(self):
        architecture = self.output("dpkg", "--print-architecture").strip()
        self.assertEqual(self.output("dpkg-deb", "-f", self.package, "Package", "Architecture").split(),
                         ["Package:", "memtrace", "Architecture:", architecture])
        depends = self.output("dpkg-deb", "-f", self.package, "Depends")
        for library in ("libc6", "libdw1", "libstdc++6"):
            self.assertIn(library, depends)
        self.assertIn("libcurl4", self.output("dpkg-deb", "-f", self.package, "Recommends"))

    def test_what_is_unpacked_works(self):
        root = os.path.join(self.root, "unpacked")
        self.output("dpkg-deb", "-x", self.package, root)
        self.assertEqual(self.output(root + "/usr/bin/memtrace", "lib"), root + "/usr/lib/memtrace/libmemtrace.so\n")
        self.output(root + "/usr/bin/memtrace", "run", "--quiet", "--dir", self.recordings, "--", "/bin/true")
        self.assertIn("/bin/true", self.output(root + "/usr/bin/memtrace-report", self.recording()))

    def test_lintian(self):
        if not shutil.which("lintian"):
            self.skipTest("there is no lintian: package lintian")
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "none", self.package], capture_output=True, text=True, check=False,
                              timeout=600)
        tags = [line for line in done.stdout.splitlines() if line[:3] in ("E: ", "W: ") and line.split()[2] not in ACCEPTED]
        self.assertEqual(tags, [])


if __name__ == "__main__":
    harness.main()
