"""Programs that change what the library stands on, and directories that cannot be written."""

import os
import shlex
import signal
import stat
import subprocess

import harness

BLOCKS = 100_000  # of 64 bytes: the recording has to grow several times on the way
NOBODY = 65534


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


class Changed(harness.Case):
    """The program changes its surroundings in mid-life; the recording goes on."""

    def check(self, what, *arguments, env=None, program="changed_surroundings", path=None, **popen):
        run = self.run_both(path or harness.program(program), *([what] if what else []), BLOCKS, *arguments, env=env, **popen)
        self.assertEqual(run.status, 0)
        return run, self.report(self.recording(run.pid))

    def check_complete(self, *arguments, **options):
        run, report = self.check(*arguments, **options)
        self.assert_exact(report)
        self.assertEqual(report["recording"]["state"], "exited")
        self.assertGreaterEqual(report["totals"]["live_allocations"], BLOCKS)
        self.assertGreaterEqual(report["totals"]["live_bytes"], BLOCKS * 64)
        return run

    def check_own_file(self, run):
        with open(os.path.join(self.work, "mine"), "rb") as mine:
            self.assertEqual(mine.read(), run.out)
        self.assertEqual(set(run.out.split()), {b"mine"})

    def test_descriptors_are_closed_and_taken(self):
        self.check_own_file(self.check_complete(None, 1, program="lost_descriptors"))

    def test_descriptors_are_closed_and_taken_under_musl(self):
        self.check_own_file(self.check_complete(None, 1, path=self.musl_program("lost_descriptors")))

    def test_few_descriptors(self):
        run = self.check_complete(None, 1, program="lost_descriptors", preexec_fn=lambda: harness.limit("NOFILE", 20))
        self.check_own_file(run)

    def test_no_descriptor_is_left(self):
        """The recording cannot grow, and goes on with samples."""
        run, report = self.check(None, 0, program="lost_descriptors")
        self.check_own_file(run)
        self.check_estimate(report)

    def check_estimate(self, report):
        live = report["totals"]["live_bytes"]
        self.assertTrue(0.7 * BLOCKS * 64 < live < 1.3 * BLOCKS * 64, live)

    def test_other_root(self):
        self.check_complete("chroot")

    def test_rights_are_dropped(self):
        self.check_complete("setuid")

    def test_no_descriptors(self):
        self.check_complete("nofile")

    def test_other_directory_and_umask(self):
        self.check_complete("chdir")
        self.check_complete("umask")

    def test_address_space_is_limited_later(self):
        self.check_estimate(self.check("address-space", env={"MEMTRACE_SAMPLE": "4KiB"})[1])

    def test_address_space_is_limited_before(self):
        self.check_complete("chdir", preexec_fn=lambda: harness.limit("AS", 512 << 20))

    def test_file_size_is_limited_later(self):
        """No SIGXFSZ; what does not fit any more is sampled, and the report says so."""
        self.check_estimate(self.check("fsize")[1])

    def test_file_size_is_limited_before(self):
        self.check_estimate(self.check("chdir", preexec_fn=lambda: harness.limit("FSIZE", 1 << 20))[1])

    def test_file_size_is_limited_to_nothing(self):
        run = self.run_program(harness.program("leave"), "return", preexec_fn=lambda: harness.limit("FSIZE", 0))
        self.assertEqual(run.status, 5)
        self.assertEqual(self.files(), [])

    def test_directory_is_removed(self):
        run = self.run_program(harness.program("changed_surroundings"), "remove", BLOCKS, self.recordings)
        self.assertEqual((run.status, run.out, run.err), (0, b"done\n", b""))
        self.assertEqual(self.files(), [])

    def test_directory_is_removed_in_automatic_mode(self):
        run = self.run_program(harness.program("changed_surroundings"), "remove", 100, self.recordings,
                               env={"MEMTRACE_KEEP": "auto", "MEMTRACE_SAMPLE": None})
        self.assertEqual((run.status, run.out, run.err), (0, b"done\n", b""))
        self.assertEqual(self.files(), [])


class Directories(harness.Case):
    """Where recordings can and cannot go."""

    def kept(self, run, directory):
        paths = self.files(".rec", run.pid, directory)
        self.assertEqual(len(paths), 1, f"{directory}: {os.listdir(self.root)}")
        return paths[0]

    def leave(self, **options):
        run = self.run_program(harness.program("leave"), "return", **options)
        self.assertEqual(run.status, 5)
        return run

    def check_one_line(self, text, *words):
        self.assertEqual(text.count(b"\n"), 1, text)
        self.assertTrue(text.startswith(b"memtrace: "), text)
        for word in words:
            self.assertIn(word.encode(), text)

    def test_made_for_all_users(self):
        first = self.leave(preexec_fn=lambda: os.umask(0o77) and None)
        self.assertEqual(stat.S_IMODE(os.stat(self.recordings).st_mode), 0o1777)
        second = self.leave(preexec_fn=as_nobody)
        for run, uid in ((first, 0), (second, NOBODY)):
            status = os.stat(self.kept(run, self.recordings))
            self.assertEqual((status.st_uid, stat.S_IMODE(status.st_mode)), (uid, 0o600))

    def test_parents_are_made(self):
        deep = os.path.join(self.recordings, "a", "b")
        self.kept(self.leave(env={"MEMTRACE_DIR": deep}), deep)

    def test_not_writable(self):
        os.mkdir(self.recordings, 0o755)
        os.chmod(self.root, 0o777)
        run = self.leave(preexec_fn=as_nobody)
        self.assertEqual(run.err, b"")
        self.kept(run, f"{self.recordings}-{NOBODY}")

    def test_neither_writable(self):
        os.mkdir(self.recordings, 0o755)
        run = self.leave(preexec_fn=as_nobody)
        self.check_one_line(run.err, self.recordings, "permission denied", "MEMTRACE_DIR")
        self.assertEqual(self.files(), [])

    def test_a_file_is_in_the_way(self):
        with open(self.recordings, "w", encoding="ascii"):
            pass
        os.chmod(self.root, 0o555)
        run = self.leave()
        self.assertTrue(run.err == b"" or run.err.startswith(b"memtrace: "), run.err)

    def test_quiet(self):
        os.mkdir(self.recordings, 0o755)
        self.assertEqual(self.leave(preexec_fn=as_nobody, env={"MEMTRACE_QUIET": "1"}).err, b"")

    def mount(self, options):
        os.mkdir(self.recordings)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.recordings]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"no permission to mount: {done.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.recordings], check=False)

    def test_read_only(self):
        self.mount("ro")
        run = self.leave(env={"MEMTRACE_DIR": os.path.join(self.recordings, "below")})
        self.check_one_line(run.err, self.recordings, "read-only")

    def test_no_programs_may_be_executed_there(self):
        self.mount("noexec,nosuid,nodev")
        self.kept(self.leave(), self.recordings)

    def test_full_disk(self):
        """A recording that cannot grow goes on with samples."""
        self.mount("size=1m")
        run = self.run_program(harness.program("changed_surroundings"), "chdir", BLOCKS)
        self.assertEqual((run.status, run.out, run.err), (0, b"done\n", b""))
        live = self.report(self.kept(run, self.recordings))["totals"]["live_bytes"]
        self.assertTrue(0.7 * BLOCKS * 64 < live < 1.3 * BLOCKS * 64, live)

    def test_no_room_at_all(self):
        self.mount("size=64k")
        run = self.leave()
        self.check_one_line(run.err, self.recordings, "no space left")
        self.assertEqual(self.files(), [])

    def test_full_disk_and_a_snapshot(self):
        self.mount("size=1m")
        process = self.start(harness.program("busy"), 2, stdin=subprocess.PIPE)
        self.await_line(process)
        for _ in range(20):
            process.send_signal(signal.SIGUSR2)
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, out, err), (0, b"done\n", b""))
        for path in self.files():
            self.assertTrue(path.endswith((".rec", ".snap")), path)
            self.report(path)

    def test_without_proc(self):
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.environment().items()
                             if name.startswith(("LD_", "MEMTRACE_")))
        script = f"umount -l /proc && exec env {variables} {shlex.quote(harness.program('leave'))} return"
        if subprocess.run(["unshare", "-m", "umount", "-l", "/proc"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no permission for a mount namespace")
        run = self.run_program("unshare", "-m", "sh", "-c", script, preload=False)
        self.assertEqual(run.status, 5, run.err)
        self.assert_balanced(self.report(self.kept(run, self.recordings)))


class Values(harness.Case):
    """MEMTRACE_ variables that cannot be read: one line that names the variable, and the default holds."""

    bad = {
        "MEMTRACE_SAMPLE": "often", "MEMTRACE_BUDGET": "plenty", "MEMTRACE_SIGNAL": "KILL", "MEMTRACE_SNAPSHOT_AT": "0,101",
        "MEMTRACE_KEEP": "never", "MEMTRACE_KEEP_FILES": "-1", "MEMTRACE_MAX": "12 parsecs", "MEMTRACE_FOLLOW": "vfork",
        "MEMTRACE_DEPTH": "deep", "MEMTRACE_COMMAND": "maybe", "MEMTRACE_QUIET": "very",
    }

    def test_each(self):
        for name, value in self.bad.items():
            with self.subTest(name=name):
                run = self.run_program(harness.program("leave"), "return", env={name: value})
                self.assertEqual((run.status, run.out), (5, b""))
                self.assertEqual(run.err.count(b"\n"), 1, run.err)
                self.assertIn(f"{name}={value}".encode(), run.err)
                self.report(self.recording(run.pid))

    def test_unknown_variable_and_the_nearest(self):
        run = self.run_program(harness.program("leave"), "return", env={"MEMTRACE_SAMPEL": "1"})
        self.assertEqual(run.status, 5)
        self.assertEqual(run.err.count(b"\n"), 1, run.err)
        self.assertIn(b"MEMTRACE_SAMPEL", run.err)
        self.assertIn(b"MEMTRACE_SAMPLE?", run.err)

    def test_quiet_about_all(self):
        run = self.run_program(harness.program("leave"), "return",
                               env={"MEMTRACE_QUIET": "1", "MEMTRACE_DEPTH": "deep", "MEMTRACE_FOO": "1"})
        self.assertEqual((run.status, run.err), (5, b""))

    def test_depth(self):
        run = self.run_program(harness.program("leave"), "return", env={"MEMTRACE_DEPTH": "1"})
        report = self.report(self.recording(run.pid))
        self.assertEqual({len(site["stack"]) for site in report["sites"] if site["allocations"]}, {1})

    def test_command_line_is_not_stored(self):
        for value, stored in (("1", True), ("0", False)):
            run = self.run_program(harness.program("leave"), "return", env={"MEMTRACE_COMMAND": value})
            self.assertEqual("return" in (self.report(self.recording(run.pid))["target"]["command"] or []), stored)


if __name__ == "__main__":
    harness.main()
