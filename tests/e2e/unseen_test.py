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


if __name__ == "__main__":
    harness.main()
