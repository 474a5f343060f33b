"""What cannot be recorded says so, and runs as without us."""

import os
import shutil
import subprocess

import harness


class Unseen(harness.Case):
    def text_report(self, path):
        done = subprocess.run([harness.REPORT, "--no-symbols", path], capture_output=True, text=True, check=False,
                              timeout=harness.TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        return " ".join(done.stdout.split())

    def test_executable_with_its_own_malloc(self):
        run = self.run_both(harness.program("own_malloc"))
        self.assertEqual(run.status, 0)
        self.assertIn("The executable brings its own malloc", self.text_report(self.recording(run.pid)))

    def test_another_preloaded_allocator_comes_first(self):
        env = {"LD_PRELOAD": f"{harness.program('libbump_malloc.so')}:{harness.LIBRARY}"}
        run = self.run_both(harness.program("fork_once"), "nothing", env=env)
        self.assertEqual(run.status, 0)
        self.assertIn("Another LD_PRELOAD library stands before", self.text_report(self.recording(run.pid)))

    def test_static_executable(self):
        """`memtrace run` names it; the program runs to its end."""
        run = self.run_program(harness.TOOL, "run", "--library", harness.LIBRARY, "--", harness.TOOL, "--version", preload=False)
        self.assertEqual(run.status, 0)
        self.assertIn(b"statically linked", run.err)

    def test_set_uid_executable(self):
        """The loader drops the library before it is read."""
        program = shutil.copy(harness.program("fork_once"), self.work)
        os.chown(program, 65534, 65534)
        os.chmod(program, 0o4755)
        run = self.run_both(program, "nothing")
        self.assertEqual((run.status, run.out), (0, b"child 7\n"))
        self.assertEqual(self.files(), [])


class Doctor(harness.Case):
    """memtrace doctor: 0 it can be recorded, 1 it cannot, 2 usage or nothing to look at; findings in words."""

    def doctor(self, target, status, *words, env=None, **options):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("MEMTRACE_", "LD_"))}
        environment |= {"MEMTRACE_DIR": self.recordings} | (env or {})
        done = subprocess.run([harness.TOOL, "doctor", str(target)], capture_output=True, text=True, check=False,
                              env=environment, timeout=harness.TIMEOUT_S, **options)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        text = " ".join((done.stdout + done.stderr).split())
        for word in words:
            self.assertIn(word, text)
        for line in done.stdout.splitlines():
            self.assertLessEqual(len(line), 80 + len(max(line.split(), key=len)), line)
        return text

    def test_ordinary_program(self):
        self.doctor("sh", 0, "can be recorded", "dynamic, for glibc", self.recordings)

    def test_musl_program(self):
        self.doctor(self.musl_program("leave"), 0, "dynamic, for musl")

    def test_static_program(self):
        self.doctor(harness.TOOL, 1, "cannot be recorded", "statically linked", "memtrace monitor")

    def test_own_malloc(self):
        self.doctor(harness.program("own_malloc"), 1, "its own malloc")

    def test_allocator_of_the_program(self):
        program = harness.program("usable_size_jemalloc")
        if not os.path.exists(program):
            self.skipTest("libjemalloc-dev was not there when the programs were built")
        self.doctor(program, 0, "libjemalloc.so.2, is supported")

    def test_set_uid(self):
        program = shutil.copy(harness.program("leave"), self.work)
        os.chown(program, 65534, 65534)
        os.chmod(program, 0o4755)
        self.doctor(program, 1, "set-uid", "Start it as the user")

    def test_foreign_architecture(self):
        program = os.path.join(self.work, "foreign")
        with open(harness.TOOL, "rb") as file:
            image = bytearray(file.read())
        image[18:20] = (243).to_bytes(2, "little")  # EM_RISCV
        with open(program, "wb") as file:
            file.write(image)
        os.chmod(program, 0o755)
        self.doctor(program, 1, "a program for RISC-V", "Install memtrace for that architecture")

    def test_missing_loader(self):
        program = os.path.join(self.work, "foreign")
        with open(harness.program("leave"), "rb") as file:
            image = file.read().replace(b"/ld-linux", b"/ld-limux")
        with open(program, "wb") as file:
            file.write(image)
        os.chmod(program, 0o755)
        self.doctor(program, 1, "its loader is missing here")

    def test_script(self):
        script = os.path.join(self.work, "script")
        with open(script, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\ntrue\n")
        os.chmod(script, 0o755)
        self.doctor(script, 0, "what counts is its interpreter, /bin/sh")

    def test_no_such_target(self):
        self.doctor("/nowhere/program", 2, "No such file")
        self.doctor("4194999", 2, "there is no process 4194999")

    def test_directory_that_is_none(self):
        self.doctor("sh", 1, "is no directory", env={"MEMTRACE_DIR": "/dev/null/below"})

    def test_directory_without_room(self):
        self.doctor("sh", 1, "too little for a recording", env={"MEMTRACE_DIR": "/proc/below"})

    def test_limits(self):
        self.doctor("sh", 1, "RLIMIT_FSIZE", preexec_fn=lambda: harness.limit("FSIZE", 4096))
        self.doctor("sh", 0, "RLIMIT_AS", preexec_fn=lambda: harness.limit("AS", 1 << 30))

    def test_preloaded_already(self):
        env = {"LD_PRELOAD": harness.program("libbump_malloc.so")}
        self.doctor("sh", 0, "another allocator", "must stand before it", env=env)

    def test_no_signal(self):
        self.doctor("sh", 0, "MEMTRACE_SIGNAL=none", env={"MEMTRACE_SIGNAL": "none"})

    def test_recorded_process(self):
        process = self.start(harness.program("busy"), 0, stdin=subprocess.PIPE)
        self.await_line(process)
        self.doctor(process.pid, 0, "is recorded", self.recording(process.pid))

    def test_process_without_the_library(self):
        process = self.start(harness.program("own_handler"), "sigaction", preload=False, stdin=subprocess.PIPE)
        self.await_line(process)
        self.doctor(process.pid, 0, "not loaded into this process", f"memtrace attach {process.pid}", "SIGUSR2 is handled")

    def test_process_behind_another_allocator(self):
        env = {"LD_PRELOAD": f"{harness.program('libbump_malloc.so')}:{harness.LIBRARY}"}
        process = self.start(harness.program("busy"), 0, stdin=subprocess.PIPE, env=env)
        self.await_line(process)
        self.doctor(process.pid, 1, "is recorded, but not seen", "before memtrace: it takes the calls")

    def test_static_process(self):
        process = self.start(harness.TOOL, "monitor", "--interval", "1s", preload=False)
        self.doctor(process.pid, 1, "statically linked")


if __name__ == "__main__":
    harness.main()
