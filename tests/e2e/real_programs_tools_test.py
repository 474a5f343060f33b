"""Compilers and git on real input give the same output, files and exit status with the library."""

import os
import subprocess

import harness
from real_programs import RealProgram, find

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Tools(RealProgram):
    def compile(self, compiler):
        source = os.path.join(SOURCES, "libmemtrace", "core", "live_table.cc")
        target = os.path.join(self.work, "live_table.o")
        self.compare(find(compiler), "-std=c++20", "-O2", "-g", "-I", SOURCES, "-c", source, "-o", target,
                     outputs=[target], least_bytes=10 << 20, timeout=300)

    def test_gcc(self):
        self.compile("g++")

    def test_clang(self):
        self.compile("clang++")

    def repository(self):
        """A bare copy of this repository's history, or of a few commits where it has none (a source package)."""
        path = os.path.join(self.work, "source.git")
        environment = self.environment(preload=False)
        if subprocess.run(["git", "-c", "safe.directory=*", "clone", "-q", "--bare", "--no-local", SOURCES, path], env=environment,
                          capture_output=True, check=False).returncode != 0:
            subprocess.run(["git", "init", "-q", "--bare", path], env=environment, check=True)
            commits = "".join(f"commit refs/heads/main\ncommitter A <a@b> {i} +0000\ndata 2\n{i % 10}\n"
                              f"M 644 inline file{i % 7}\ndata 3\n{i:03}\n\n" for i in range(500))
            subprocess.run(["git", "-C", path, "fast-import", "--quiet"], input=commits.encode(), env=environment, check=True)
        return path

    def test_git(self):
        git, path = find("git"), self.repository()
        for command in (("log", "--stat", "-p", "--all"), ("rev-list", "--objects", "--all"), ("gc", "--quiet"), ("fsck", "--no-progress")):
            with self.subTest(command=command[0]):
                self.compare(git, "-C", path, *command)

    def test_git_clone(self):
        git, path = find("git"), self.repository()
        for mode in ("1", "auto"):
            target = os.path.join(self.work, "clone-" + mode)
            run = self.run_program(git, "clone", "-q", "--no-local", path, target, env={"MEMTRACE_SAMPLE": mode})
            self.assertEqual((run.status, run.out, run.err), (0, b"", b""))
            head = [self.run_program(git, "-C", where, "rev-parse", "HEAD^{tree}", preload=False).out for where in (path, target)]
            self.assertEqual(head[0], head[1])


if __name__ == "__main__":
    harness.main()
