"""memtrace attach and detach: recording begins and ends in a process that goes on."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

import harness
import memory_cgroup

LATE_LIBRARY = harness.LIBRARY.replace(".so", "-late.so")


class Attaching(harness.Case):
    """One attach or detach at a time; the target is a program that was started without the library."""

    def memtrace(self, *arguments, **run):
        done = subprocess.run([harness.TOOL, *map(str, arguments)], capture_output=True, text=True, check=False,
                              timeout=harness.TIMEOUT_S, **run)
        return done

    def attach(self, process, *options, sample="1"):
        """Attaches, in exact mode; returns the path of the recording."""
        done = self.memtrace("attach", "--dir", self.recordings, "--sample", sample, *options, process.pid)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\Arecording to /\S+\.rec\n\Z")
        return done.stdout.split()[-1]

    def detach(self, process):
        done = self.memtrace("detach", process.pid)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()[-1]

    def refused(self, *arguments, **run):
        """What the message says when a command cannot be done."""
        done = self.memtrace(*arguments, **run)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertRegex(done.stderr, r"\Amemtrace: [^\n]+\n\Z")
        return done.stderr

    def start_commanded(self, path=None, **start):
        process = self.start(path or harness.program("on_command"), preload=False, stdin=subprocess.PIPE, **start)
        self.await_line(process)
        return process

    def command(self, process, line):
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        return process.stdout.readline().decode().strip()

    def order(self, process, line):
        self.assertEqual(self.command(process, line), "ok")

    def finish(self, process):
        """The program ends as it would have without us."""
        process.stdin.close()
        process.stdin = None
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))

    def keeps(self, report):
        return [site for site in report["sites"] if any(frame["function"] == "Keep" for frame in site["stack"])]


class Recording(Attaching):
    def test_exact_from_the_attach_on(self):
        process = self.start_commanded()
        self.order(process, "keep 100 5000")
        path = self.attach(process)
        self.order(process, "keep 70 1000")
        self.order(process, "free 120")  # all from before, and 20 of those after
        self.assertEqual(self.detach(process), path)
        self.order(process, "keep 1000 1000")  # nobody sees these
        report = self.report(path, symbols=True)
        self.assertEqual([(s["allocations"], s["live_allocations"], s["live_bytes"]) for s in self.keeps(report)],
                         [(70, 50, 50_000)])
        self.assertTrue(report["recording"]["attached_late"])
        self.assertGreaterEqual(report["recording"]["heap_bytes_before"], 100 * 5000)
        self.assertGreaterEqual(report["recording"]["inherited_bytes"], 100 * 5000)
        self.assert_nothing_dropped(report)
        self.finish(process)

    def test_again_after_a_detach(self):
        process = self.start_commanded()
        self.attach(process)
        self.order(process, "keep 10 100")
        self.detach(process)
        self.order(process, "keep 10 100")
        path = self.attach(process)
        self.order(process, "keep 30 100")
        self.order(process, "free 25")
        self.detach(process)
        self.assertEqual([(s["allocations"], s["live_allocations"]) for s in self.keeps(self.report(path, symbols=True))],
                         [(30, 25)])
        self.assertEqual(len(self.files(".rec")), 2)
        self.finish(process)

    def test_libraries_that_are_loaded_later(self):
        process = self.start_commanded()
        path = self.attach(process)
        plugin = os.path.join(harness.PROGRAMS, "libplugin_A.so")
        self.order(process, f"load {plugin} KeepOfA")
        report = self.report(path, symbols=True)
        functions = [site["stack"][0]["function"] for site in report["sites"] if site["live_bytes"] == 1000]
        self.assertEqual(set(functions), {"KeepOfA"})
        self.finish(process)

    def test_children_and_the_snapshot_signal(self):
        process = self.start_commanded()
        self.attach(process)
        self.order(process, "fork 40 1000")
        self.assertEqual(len(self.files(".rec")), 2)
        process.send_signal(signal.SIGUSR2)
        harness.wait_until(lambda: self.files(".snap"), what="the snapshot")
        self.detach(process)
        self.finish(process)

    def test_the_signal_is_given_back(self):
        process = self.start_commanded()
        self.order(process, "handler")
        for expected in (1, 2):
            self.attach(process)
            process.send_signal(signal.SIGUSR2)
            harness.wait_until(lambda: self.command(process, "signals") == f"signals {2 * expected - 1}")
            self.detach(process)
            process.send_signal(signal.SIGUSR2)
            harness.wait_until(lambda: self.command(process, "signals") == f"signals {2 * expected}")
        self.assertEqual(len(self.files(".snap")), 2)
        self.finish(process)

    def test_a_preloaded_program(self):
        process = self.start(harness.program("on_command"), stdin=subprocess.PIPE)
        self.await_line(process)
        path = self.recording()
        self.order(process, "keep 10 1000")
        self.assertEqual(self.detach(process), path)
        self.order(process, "keep 10 1000")
        self.assertEqual([s["allocations"] for s in self.keeps(self.report(path, symbols=True))], [10])
        again = self.attach(process)
        self.order(process, "keep 20 1000")
        self.assertEqual([s["allocations"] for s in self.keeps(self.report(again, symbols=True))], [20])
        self.finish(process)

    def test_musl(self):
        process = self.start_commanded(self.musl_program("on_command"))
        for _ in range(2):
            path = self.attach(process)
            self.order(process, "keep 70 1000")
            self.order(process, "free 20")
            self.detach(process)
            self.order(process, "free 1000")
            report = self.report(path, symbols=True)
            self.assertEqual([(s["allocations"], s["live_bytes"]) for s in self.keeps(report)], [(70, 50_000)])
        self.assertEqual(report["target"]["libc"], "musl")
        self.finish(process)

    def test_jemalloc(self):
        library = harness.first_existing("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "/usr/lib/aarch64-linux-gnu/libjemalloc.so.2")
        if not library:
            self.skipTest("there is no jemalloc: package libjemalloc2")
        process = self.start_commanded(env={"LD_PRELOAD": library})
        path = self.attach(process)
        self.order(process, "keep 70 1000")
        self.order(process, "free 20")
        self.detach(process)
        self.assertEqual([s["live_bytes"] for s in self.keeps(self.report(path, symbols=True))], [50_000])
        self.finish(process)


class Disturbance(Attaching):
    """The program notices nothing."""

    def test_blocked_in_system_calls(self):
        process = self.start(harness.program("blocked"), "200", preload=False, stdin=subprocess.PIPE)
        self.await_line(process)
        for _ in range(3):
            self.attach(process)
            self.detach(process)
        process.stdin.write(b"x")
        process.stdin.flush()
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))

    def test_busy_threads(self):
        process = self.start(harness.program("busy"), "8", preload=False, stdin=subprocess.PIPE)
        self.await_line(process)
        for _ in range(5):
            path = self.attach(process, sample="4KiB")
            harness.wait_until(lambda: self.report(path)["totals"]["allocations"] > 1000, what="allocations")
            self.detach(process)
        with open(f"/proc/{process.pid}/maps") as maps:
            self.assertNotIn(".rec", maps.read(), "a recording is still mapped")
        self.finish(process)

    def test_loading_and_unloading(self):
        libraries = [os.path.join(harness.PROGRAMS, f"libplugin_{letter}.so") for letter in "AB"]
        process = self.start(harness.program("load_and_unload"), "2", "1000000", *libraries, preload=False)
        for _ in range(5):
            self.attach(process, sample="64KiB")
            self.detach(process)
        self.assertIsNone(process.poll())

    def test_threads_come_and_go(self):
        process = self.start(harness.program("short_threads"), "10000000", "8", preload=False)
        for _ in range(3):
            done = self.memtrace("attach", "--dir", self.recordings, process.pid)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.detach(process)
        self.assertIsNone(process.poll(), process.stderr.read() if process.poll() is not None else "")

    def test_a_program_that_ends_meanwhile(self):
        for pause_ms in range(0, 30, 2):
            process = self.start(harness.program("busy"), "4", preload=False, stdin=subprocess.PIPE)
            self.await_line(process)
            attaching = self.start(harness.TOOL, "attach", "--dir", self.recordings, process.pid, preload=False)
            time.sleep(pause_ms / 1000)
            self.finish(process)
            _, err = attaching.communicate(timeout=harness.TIMEOUT_S)
            self.assertIn(attaching.returncode, (0, 1))
            self.assertRegex(err, rb"\A\Z" if attaching.returncode == 0 else rb"\Amemtrace: [^\n]+\n\Z")

    def test_forks(self):
        """A breakpoint that a child inherited would kill it."""
        script = "while :; do /bin/true || exit 9; done"
        process = self.start("/bin/bash", "-c", script, preload=False)
        for _ in range(5):
            self.attach(process, "--follow", "none")
            self.detach(process)
        self.assertIsNone(process.poll())


class Surroundings(Attaching):
    def unshared(self, *options):
        unshare = shutil.which("unshare")
        process = self.start(unshare, *options, harness.program("on_command"), preload=False, stdin=subprocess.PIPE)
        try:
            self.await_line(process)
        except AssertionError as error:
            self.skipTest(f"no such name spaces here: {error}")
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:
            pids = children.read().split()
        return process, int(pids[0]) if pids else process.pid

    def attach_inside(self, process, pid):
        done = self.memtrace("attach", "--dir", self.recordings, "--sample", "1", pid)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.order(process, "keep 70 1000")
        done = self.memtrace("detach", pid)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        report = self.report(self.recording(), symbols=True)
        self.assertEqual([s["live_bytes"] for s in self.keeps(report)], [70_000])

    def test_other_name_spaces(self):
        process, pid = self.unshared("--pid", "--mount", "--net", "--ipc", "--fork", "--mount-proc")
        self.attach_inside(process, pid)
        self.finish(process)

    def test_a_user_name_space(self):
        os.mkdir(self.recordings)
        process, pid = self.unshared("--user", "--map-root-user")
        self.attach_inside(process, pid)
        self.finish(process)

    def test_without_proc_the_library_comes_as_a_file(self):
        libraries = subprocess.run(["ldd", harness.program("on_command")], capture_output=True, text=True, check=True)
        root = os.path.join(self.root, "system")
        for path in [harness.program("on_command"), *re.findall(r"(/\S+) \(0x", libraries.stdout)]:
            os.makedirs(root + os.path.dirname(path), exist_ok=True)
            shutil.copy(path, root + path)
        os.makedirs(root + "/tmp/recordings")
        process = self.start_commanded(preexec_fn=lambda: (os.chroot(root), os.chdir("/")))
        self.recordings = "/tmp/recordings"
        self.attach(process)
        self.order(process, "keep 70 1000")
        self.detach(process)
        self.finish(process)
        self.assertEqual([name for name in os.listdir(root + "/tmp") if "memtrace-" in name], [], "the file is gone")
        recordings = self.files(".rec", directory=root + "/tmp/recordings")
        self.assertEqual(len(recordings), 1)

    def test_other_releases_of_glibc(self):
        """From 2.31, whose dlopen is not in libc, on; `cat` loads no libdl and allocates nothing meanwhile."""
        worlds = os.environ.get("MEMTRACE_WORLDS", "/var/cache/memtrace-worlds")
        roots = [os.path.join(worlds, name) for name in ("bullseye", "bookworm", "trixie", "sid")]
        roots = [root for root in roots if os.path.exists(root + "/bin/cat")]
        if not roots or os.getuid() != 0:
            self.skipTest(f"only root can enter the releases that scripts/worlds makes in {worlds}")
        for root in roots:
            with self.subTest(os.path.basename(root)):
                process = self.start("/bin/cat", preload=False, stdin=subprocess.PIPE,
                                     preexec_fn=lambda: (os.chroot(root), os.chdir("/")))
                self.recordings = "/tmp/memtrace-attach-" + str(process.pid)
                self.addCleanup(shutil.rmtree, root + self.recordings, True)
                self.attach(process)
                self.detach(process)
                self.assertEqual(process.communicate(b"fine\n", timeout=harness.TIMEOUT_S), (b"fine\n", b""))

    def test_seccomp(self):
        """A filter that kills for what loading from memory needs."""
        source = ("import ctypes, os, struct, sys; libc = ctypes.CDLL(None);"
                  "kill = (0x20, 0, 0, 0), (0x15, 0, 1, %d), (0x06, 0, 0, 0x80000000), (0x06, 0, 0, 0x7fff0000);"
                  "code = b''.join(struct.pack('HBBI', *i) for i in kill); buffer = ctypes.create_string_buffer(code);"
                  "program = struct.pack('HxxxxxxQ', len(kill), ctypes.addressof(buffer));"
                  "libc.prctl(38, 1, 0, 0, 0) == 0 or sys.exit(8); libc.prctl(22, 2, program) == 0 or sys.exit(9);"
                  "os.execv(sys.argv[1], sys.argv[1:])")
        memfd_create = {"x86_64": 319, "aarch64": 279}[os.uname().machine]
        process = self.start(sys.executable, "-c", source % memfd_create, harness.program("on_command"), preload=False,
                             stdin=subprocess.PIPE)
        self.await_line(process)
        self.attach(process)
        self.detach(process)
        self.finish(process)


class Refusals(Attaching):
    """Each message says what to do next."""

    def test_wrong_targets(self):
        gone = self.start("/bin/true", preload=False)
        gone.wait()
        self.assertIn(f"there is no process {gone.pid}", self.refused("attach", gone.pid))
        self.assertIn(f"there is no process {gone.pid}", self.refused("detach", gone.pid))
        zombie = subprocess.Popen(["/bin/true"])
        self.addCleanup(zombie.wait)
        harness.wait_until(lambda: open(f"/proc/{zombie.pid}/stat").read().split()[2] == "Z")
        self.assertIn("has ended", self.refused("attach", zombie.pid))
        with open(harness.first_existing("/proc/2/comm", os.devnull), encoding="utf-8") as name:
            if name.read() == "kthreadd\n":  # not so in a container
                self.assertRegex(self.refused("attach", 2), "thread of the kernel|may not be traced")
        self.assertIn("`docker ps -a`", self.refused("attach", "nosuch-container"))
        for wrong in (["attach"], ["attach", "-3"], ["attach", "--sample", "many", "1"], ["detach"]):
            self.assertEqual(self.memtrace(*wrong).returncode, 2, wrong)

    def test_a_thread_is_no_process(self):
        process = self.start(harness.program("busy"), "1", preload=False, stdin=subprocess.PIPE)
        self.await_line(process)
        thread = next(tid for tid in os.listdir(f"/proc/{process.pid}/task") if tid != str(process.pid))
        self.assertIn("give that number", self.refused("attach", thread))

    def test_stopped(self):
        process = self.start_commanded()
        process.send_signal(signal.SIGSTOP)
        harness.wait_until(lambda: open(f"/proc/{process.pid}/stat").read().split()[2] == "T")
        self.assertIn(f"kill -CONT {process.pid}", self.refused("attach", process.pid))
        process.send_signal(signal.SIGCONT)
        self.finish(process)

    def test_traced(self):
        process = self.start_commanded()
        libc = ctypes.CDLL(None, use_errno=True)
        seize, detach, interrupt = 0x4206, 17, 0x4207
        self.assertEqual(libc.ptrace(seize, process.pid, None, None), 0)
        try:
            self.assertIn("end that debugger or strace first", self.refused("attach", process.pid))
        finally:
            libc.ptrace(interrupt, process.pid, None, None)
            os.waitpid(process.pid, 0x40000000)
            libc.ptrace(detach, process.pid, None, None)
        self.finish(process)

    def test_static(self):
        process = self.start(harness.TOOL, "monitor", "--interval", "5s", str(os.getpid()), preload=False)
        memory_cgroup.need_any()
        self.assertIn("statically linked", self.refused("attach", process.pid))

    def test_twice(self):
        process = self.start_commanded()
        self.assertIn("never attached", self.refused("detach", process.pid))
        path = self.attach(process)
        message = self.refused("attach", process.pid)
        self.assertIn(f"is recorded already, to {path}", message)
        self.assertIn("memtrace snapshot", message)
        self.detach(process)
        self.assertIn("is not recorded any more", self.refused("detach", process.pid))
        self.finish(process)

    def test_no_permission(self):
        if os.getuid() != 0:
            self.skipTest("only root can become somebody else")
        process = self.start_commanded()
        message = self.refused("attach", process.pid, preexec_fn=lambda: os.setuid(65534))
        self.assertIn("--cap-add SYS_PTRACE", message)
        self.finish(process)

    def test_a_directory_that_cannot_be_written(self):
        process = self.start_commanded()
        message = self.refused("attach", "--dir", "/proc/nowhere", process.pid)
        self.assertIn("--dir", message)
        self.attach(process)  # the library is there now
        self.detach(process)
        self.finish(process)


if __name__ == "__main__":
    harness.main()
