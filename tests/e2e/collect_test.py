"""memtrace collect, and what a container that means harm can do to the commands on the host: nothing."""

import os
import shutil
import stat
import struct
import subprocess
import threading

import harness

SECRET = "what only the host may read"


class Collecting(harness.Case):
    def memtrace(self, *arguments, **run):
        return subprocess.run([harness.TOOL, *map(str, arguments)], capture_output=True, text=True, check=False,
                              timeout=harness.TIMEOUT_S, **run)

    def collect(self, target, *options):
        directory = os.path.join(self.root, "collected")
        done = self.memtrace("collect", target, "-o", directory, *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn(f"memtrace-report {directory}", done.stdout)
        return directory, done.stdout

    def start_recorded(self, path=None, **start):
        process = self.start(path or harness.program("on_command"), stdin=subprocess.PIPE, **start)
        self.await_line(process)
        process.stdin.write(b"keep 70 1000\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"ok\n")
        return process


class Process(Collecting):
    def test_names_come_from_the_collection(self):
        program = os.path.join(self.work, "program")
        shutil.copy(harness.program("on_command"), program)
        process = self.start_recorded(program)
        directory, _ = self.collect(process.pid)
        os.unlink(program)  # another machine
        shutil.rmtree(self.recordings)
        process.kill()
        report = self.report(directory, symbols=True)
        functions = {frame["function"] for site in report["sites"] for frame in site["stack"]}
        self.assertIn("Keep", functions)
        binaries = os.listdir(os.path.join(directory, "binaries/.build-id"))
        self.assertGreaterEqual(len(binaries), 1)

    def test_debug_files_come_along(self):
        """By build-id, and by link, beside a binary that has nothing but code."""
        if not shutil.which("objcopy"):
            self.skipTest("there is no objcopy: package binutils")
        program, debug = os.path.join(self.work, "program"), os.path.join(self.work, ".debug", "program.debug")
        os.mkdir(os.path.dirname(debug))
        original = harness.program("on_command")
        for command in (["objcopy", "--only-keep-debug", original, debug],
                        ["objcopy", "--strip-all", "--add-gnu-debuglink=" + debug, original, program]):
            subprocess.run(command, check=True, capture_output=True)
        process = self.start_recorded(program)
        directory, _ = self.collect(process.pid)
        process.kill()
        shutil.rmtree(os.path.dirname(debug))  # another machine
        os.unlink(program)
        folder = os.path.join(directory, "binaries/.build-id")
        files = {name for part in os.listdir(folder) for name in os.listdir(os.path.join(folder, part))}
        self.assertTrue(any(name.endswith(".debug") and name.removesuffix(".debug") in files for name in files), files)
        frames = [frame for site in self.report(directory, symbols=True)["sites"] for frame in site["stack"] if frame["function"] == "Keep"]
        self.assertTrue(frames)
        self.assertTrue(all(frame["file"].endswith("on_command.c") and frame["line"] for frame in frames), frames)

    def test_a_full_disk(self):
        """A part of it must not be taken for all."""
        if os.getuid() != 0:
            self.skipTest("only root can mount a small file system")
        process = self.start_recorded()
        small = os.path.join(self.root, "small")
        os.mkdir(small)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("no permission to mount: " + mounted.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", small], check=True)
        done = self.memtrace("collect", process.pid, "-o", small + "/out")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"\Amemtrace: cannot write all of \S+/out: No space left on device; [^\n]+\n\Z")
        with open(small + "/rest", "wb", buffering=0) as rest:
            try:
                while rest.write(bytes(4096)):
                    pass
            except OSError:
                pass
        for arguments in (["install", small + "/bin"], ["monitor", "--csv", small + "/x.csv", "--count", "1", process.pid],
                          ["snapshot", process.pid, "-o", small]):
            done = self.memtrace(*arguments)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("No space left on device", done.stderr)

    def test_refusals(self):
        process = self.start_recorded()
        for target, directory, text in ((process.pid, self.work, None), ("nosuch", "x", "neither"), (0, "x", "process 0")):
            if directory == self.work:
                open(os.path.join(self.work, "something"), "w").close()
            done = self.memtrace("collect", target, "-o", os.path.join(self.work, directory))
            self.assertEqual((done.returncode, done.stdout), (1, ""), target)
        self.assertEqual(self.memtrace("collect", process.pid).returncode, 2)
        self.assertEqual(self.memtrace("collect", "--", "-x", "-o", "y").returncode, 2)


class HostileContainer(Collecting):
    """A program in a root directory of its own, in which everything is a trap."""

    def setUp(self):
        super().setUp()
        self.secret = os.path.join(self.root, "secret.rec")
        with open(self.secret, "w") as file:
            file.write(SECRET)
        self.system = os.path.join(self.root, "system")
        libraries = subprocess.run(["ldd", harness.program("on_command")], capture_output=True, text=True, check=True).stdout
        paths = [word for word in libraries.split() if word.startswith("/")]
        for path in [harness.program("on_command"), harness.LIBRARY, *paths]:
            os.makedirs(self.system + os.path.dirname(path), exist_ok=True)
            shutil.copy(path, self.system + path)
        self.inside = self.system + "/tmp/memtrace"
        os.makedirs(self.inside, exist_ok=True)

    def enter(self, directory="/tmp/memtrace"):
        return self.start_recorded(env={"MEMTRACE_DIR": directory},
                                   preexec_fn=lambda: (os.chroot(self.system), os.chdir("/")))

    def everything_in(self, directory):
        content = b""
        for folder, _, names in os.walk(directory):
            for name in names:
                path = os.path.join(folder, name)
                self.assertTrue(stat.S_ISREG(os.lstat(path).st_mode), path)
                with open(path, "rb") as file:
                    content += file.read()
        return content

    def test_links_fifos_and_devices(self):
        process = self.enter()
        os.symlink(self.secret, self.inside + "/a.1.20260101T000000Z.rec")
        os.symlink("../../../../../../../.." + self.secret, self.inside + "/b.1.20260101T000000Z.rec")
        os.symlink("/proc/self/root" + self.secret, self.inside + "/c.1.20260101T000000Z.snap")
        os.mkfifo(self.inside + "/d.1.20260101T000000Z.rec")
        os.mkdir(self.inside + "/e.1.20260101T000000Z.rec")
        os.symlink("/dev/zero", self.inside + "/f.1.20260101T000000Z.rec")
        directory, _ = self.collect(process.pid)
        self.assertNotIn(SECRET.encode(), self.everything_in(directory))
        names = os.listdir(directory + "/recordings")
        self.assertTrue(names)
        self.assertEqual([name for name in names if not name.startswith("on_command.")], [])

    def test_the_directory_is_a_link_out(self):
        process = self.enter()
        os.rename(self.inside, self.inside + ".real")
        outside = os.path.join(self.root, "outside")
        os.mkdir(outside)
        os.symlink(outside, self.inside)
        with open(outside + "/x.1.20260101T000000Z.rec", "w") as file:
            file.write(SECRET)
        directory, _ = self.collect(process.pid)
        self.assertNotIn(SECRET.encode(), self.everything_in(directory))
        before = os.listdir(outside)
        self.memtrace("snapshot", process.pid)
        self.assertEqual(os.listdir(outside), before, "a snapshot was written outside of the container")

    def test_perf_map_is_a_link_out(self):
        process = self.enter()
        os.symlink(self.secret, f"{self.system}/tmp/perf-{process.pid}.map")
        done = self.memtrace("snapshot", process.pid, "-o", self.work)
        if "no recording mapped" in done.stderr:
            self.skipTest("without CAP_SYS_ADMIN the kernel does not show what a process in another root directory has mapped")
        with open(done.stdout.strip(), "rb") as snapshot:
            self.assertNotIn(SECRET.encode(), snapshot.read())

    def test_a_recording_that_lies(self):
        """Paths of modules lead out; sizes and offsets are absurd; the header changes while it is read."""
        process = self.enter()
        recording = os.path.join(self.inside, next(name for name in os.listdir(self.inside) if name.endswith(".rec")))
        with open(recording, "rb") as file:
            content = file.read()
        library = os.path.basename(harness.LIBRARY).encode()
        for number, mend in enumerate((
                lambda data: data.replace(os.path.dirname(harness.LIBRARY).encode() + b"/" + library, b"/../" * 8 + b"etc/passwd"),
                lambda data: data[:16] + struct.pack("<QQ", 2**63, 2**63) + data[32:],
                lambda data: data[:32] + struct.pack("<II", 0xffffffff, 0xffffffff) + data[40:],
                lambda data: data[:40] + struct.pack("<QQ", 2**64 - 8, 2**64 - 8) + data[56:],
                lambda data: data[:5000])):
            with open(f"{self.inside}/lie{number}.7.20260101T000000Z.rec", "wb") as file:
                file.write(mend(content))
        directory, _ = self.collect(process.pid)
        self.assertNotIn(b"root:x:0:0", self.everything_in(directory))
        done = subprocess.run([harness.REPORT, "--json", directory], capture_output=True, timeout=harness.TIMEOUT_S, check=False)
        self.assertIn(done.returncode, (0, 3), done.stderr)

    def test_the_recording_is_scribbled_over(self):
        process = self.enter()
        recording = os.path.join(self.inside, next(name for name in os.listdir(self.inside) if name.endswith(".rec")))
        stop = threading.Event()

        def scribble():
            with open(recording, "r+b", buffering=0) as file:
                original = file.read(4096)
                while not stop.is_set():
                    for at in range(16, 72, 8):
                        file.seek(at)
                        file.write(b"\xff" * 8)
                        file.seek(at)
                        file.write(original[at:at + 8])

        thread = threading.Thread(target=scribble)
        thread.start()
        try:
            for _ in range(40):
                done = self.memtrace("snapshot", process.pid, "-o", self.work)
                self.assertIn(done.returncode, (0, 1), done.stderr)  # never a signal
        finally:
            stop.set()
            thread.join()

    def test_a_huge_sparse_file_takes_no_room(self):
        process = self.enter()
        with open(f"{self.inside}/huge.{process.pid}.20260101T000000Z.rec", "wb") as huge:
            huge.truncate(1 << 30)
        with open(f"{self.inside}/too_huge.{process.pid}.20260101T000000Z.rec", "wb") as huge:
            huge.truncate(1 << 40)
        directory, _ = self.collect(process.pid)
        for folder, _, names in os.walk(directory):
            for name in names:
                status = os.stat(os.path.join(folder, name))
                self.assertLess(status.st_blocks * 512, 64 << 20, name)
                self.assertLess(status.st_size, 1 << 40, name)
        self.assertEqual(os.stat(f"{directory}/recordings/huge.{process.pid}.20260101T000000Z.rec").st_size, 1 << 30)

    def test_names_are_shown_harmless(self):
        directory = "/tmp/\x1b[31mred\x07"
        process = self.enter(directory)
        with open(f"{self.system}{directory}/older.{process.pid}.20260101T000000Z.snap", "w") as older:
            older.write(SECRET)
        _, out = self.collect(process.pid)
        self.assertNotIn("\x1b", out)
        self.assertIn("\\x1b[31mred\\x07", out)


if __name__ == "__main__":
    harness.main()
