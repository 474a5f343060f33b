"""fork, exec, the many ways to end, and which processes leave a file."""

import os
import shlex
import signal
import subprocess

import harness

PARENT_BYTES = 100 * 1000 + 123
KEPT_BYTES = 2000 * 1000  # by leave.c


class Forks(harness.Case):
    program = harness.program("fork_once")

    def fork_once(self, how, *by, **env):
        run = self.run_both(self.program, how, *by, env=env)
        self.assertEqual((run.status, run.out), (0, b"child 7\n"))
        return run

    def child_and_parent(self, run):
        paths = self.files(".rec")
        self.assertEqual(len(paths), 2, paths)
        parent = self.report(self.recording(run.pid))
        child = self.report(next(path for path in paths if f".{run.pid}." not in path))
        return child, parent

    def check_fork(self, how, *by):
        child, parent = self.child_and_parent(self.fork_once(how, *by))
        for report in (child, parent):
            self.assert_exact(report)
            self.assertEqual(report["recording"]["state"], "exited")
        self.assertEqual(parent["totals"]["live_bytes"], PARENT_BYTES)
        self.assertEqual(parent["totals"]["frees"], 0)
        return child["totals"]

    def test_child_frees_blocks_of_the_parent(self):
        for how in ("return", "_exit"):
            with self.subTest(how=how):
                child = self.check_fork(how)
                self.assertEqual((child["allocations"], child["allocated_bytes"]), (10, 5000))
                self.assertEqual((child["frees"], child["live_bytes"]), (0, 5000))
                for path in self.files():
                    os.unlink(path)

    def test_child_of_a_bare_clone(self):
        child = self.check_fork("_exit", "clone")
        self.assertEqual((child["allocations"], child["live_bytes"]), (10, 5000))

    def test_child_under_musl(self):
        self.program = self.musl_program("fork_once")
        self.assertEqual(self.check_fork("return")["live_bytes"], 5000)

    def test_child_that_allocates_nothing_leaves_the_parent_intact(self):
        run = self.fork_once("nothing")
        report = self.report(self.recording(run.pid))
        self.assert_exact(report)
        self.assertEqual(report["recording"]["state"], "exited")
        self.assertEqual(report["totals"]["live_bytes"], PARENT_BYTES)

    def test_children_are_not_followed(self):
        run = self.fork_once("return", MEMTRACE_FOLLOW="exec")
        self.assertEqual(self.report(self.recording(run.pid))["totals"]["live_bytes"], PARENT_BYTES)

    def test_storm_while_other_threads_allocate(self):
        run = self.run_both(harness.program("fork_storm"), 3, 200)
        self.assertEqual((run.status, run.out), (0, b"done\n"))
        parent = self.report(self.recording(run.pid))
        self.assert_exact(parent)
        others = [path for path in self.files(".rec") if f".{run.pid}." not in path]
        self.assertLessEqual(len(others), 220)
        for path in others[:20]:
            self.assert_exact(self.report(path))

    def test_storm_leaves_no_litter(self):
        run = self.run_program(harness.program("fork_storm"), 2, 100, env={"MEMTRACE_KEEP": "auto"})
        self.assertEqual((run.status, run.out, run.err), (0, b"done\n", b""))
        self.assertEqual(self.files(), [])


class Executions(harness.Case):
    def names(self):
        return sorted({os.path.basename(path).split(".")[0] for path in self.files(".rec")})

    def test_child_programs_have_files_of_their_own(self):
        for how in ("vfork", "posix_spawn", "system"):
            with self.subTest(how=how):
                run = self.run_both(harness.program("spawn"), how, harness.program("leave"), "return")
                self.assertEqual(run.status, 5 if how != "system" else 2)  # leave.c without an argument
                parent = self.report(self.recording(run.pid))
                self.assert_exact(parent)
                self.assertGreaterEqual(parent["totals"]["live_bytes"], 2 << 20)
                self.assertIn("leave", self.names())
                for path in self.files():
                    self.report(path)
                    os.unlink(path)

    def test_exec_closes_the_recording_before(self):
        run = self.run_both(harness.program("exec_over_itself"), 2, 3 << 20, env={"MEMTRACE_KEEP": "auto"})
        self.assertEqual(run.out, b"done\n")
        reports = [self.report(path) for path in self.files(".rec", run.pid)]
        self.assertEqual(sorted(report["recording"]["state"] for report in reports), ["exec", "exec", "exited"])
        for report in reports:
            self.assert_exact(report)
            self.assertEqual(report["totals"]["live_bytes"], 3 << 20)

    def test_exec_removes_what_is_not_worth_keeping(self):
        run = self.run_program(harness.program("exec_over_itself"), 5, 1000, env={"MEMTRACE_KEEP": "auto"})
        self.assertEqual((run.status, run.out), (0, b"done\n"))
        self.assertEqual(self.files(), [])

    def test_exec_is_not_followed(self):
        run = self.run_program(harness.program("spawn"), "vfork", harness.program("leave"), "return",
                               env={"MEMTRACE_FOLLOW": "fork"})
        self.assertEqual(run.status, 5)
        self.assertEqual(self.names(), ["spawn"])

    def test_nothing_is_followed(self):
        self.run_program(harness.program("fork_once"), "return", env={"MEMTRACE_FOLLOW": "none"})
        run = self.run_program(harness.program("spawn"), "posix_spawn", harness.program("leave"), "return",
                               env={"MEMTRACE_FOLLOW": "none"})
        self.assertEqual(run.status, 5)
        self.assertEqual(self.names(), ["fork_once", "spawn"])
        self.assertEqual(len(self.files(".rec")), 2)

    def test_shell_wrapper(self):
        script = f"echo begun; {shlex.quote(harness.program('leave'))} return; echo status $?"
        run = self.run_both("/bin/sh", "-c", script)
        self.assertEqual((run.status, run.out), (0, b"begun\nstatus 5\n"))
        report = self.report(self.recordings)
        self.assertTrue(report["target"]["exe"].endswith("leave"), report["target"])
        self.assertEqual(report["totals"]["live_bytes"], KEPT_BYTES)

    def test_only_and_skip(self):
        for choice in ({"MEMTRACE_ONLY": "lea*,nothing"}, {"MEMTRACE_SKIP": "sh,dash,bash"}):
            with self.subTest(choice=choice):
                self.run_program("/bin/sh", "-c", f"{shlex.quote(harness.program('leave'))} return; true", env=choice)
                self.assertEqual(self.names(), ["leave"])
                for path in self.files():
                    os.unlink(path)

    def test_environment_of_children_is_the_program_s(self):
        other = harness.program("libbump_malloc.so")
        run = self.run_program("/bin/sh", "-c", "sh -c 'echo $LD_PRELOAD'", env={"LD_PRELOAD": f"{harness.LIBRARY}:{other}"})
        self.assertEqual(run.out.decode(), f"{harness.LIBRARY}:{other}\n")

    def test_run_keeps_preloaded_libraries(self):
        other = harness.program("libbump_malloc.so")
        run = self.run_program(harness.TOOL, "run", "--library", harness.LIBRARY, "--quiet", "--", "/bin/sh", "-c",
                               "echo $LD_PRELOAD", env={"LD_PRELOAD": other})
        self.assertEqual((run.status, run.err), (0, b""))
        self.assertEqual(sorted(run.out.decode().strip().replace(" ", ":").split(":")), sorted([harness.LIBRARY, other]))


class Endings(harness.Case):
    """Every way to end: the same status as without the library, and nothing lost."""

    program = harness.program("leave")

    def check(self, how, status, state):
        run = self.run_both(self.program, how, env={"MEMTRACE_KEEP": "auto"})
        self.assertEqual(run.status, status)
        report = self.report(self.recording(run.pid))
        self.assert_exact(report)
        self.assertEqual(report["recording"]["state"], state)
        self.assertGreaterEqual(report["totals"]["live_bytes"], KEPT_BYTES)
        self.assertGreaterEqual(max(site["live_allocations"] for site in report["sites"]), 2000)

    def test_return(self):
        self.check("return", 5, "exited")

    def test_exit(self):
        self.check("exit", 5, "exited")

    def test_underscore_exit(self):
        self.check("_exit", 5, "exited")
        os.unlink(self.recording())
        self.check("_Exit", 5, "exited")

    def test_quick_exit(self):
        self.check("quick_exit", 5, "exited")

    def test_exit_group(self):
        self.check("raw", 5, "killed")

    def test_exit_in_a_thread(self):
        self.check("thread", 5, "exited")

    def test_last_thread_ends(self):
        self.check("pthread_exit", 0, "exited")

    def test_abort(self):
        self.check("abort", -signal.SIGABRT, "killed")

    def test_segmentation_fault(self):
        self.check("segv", -signal.SIGSEGV, "killed")

    def test_kill(self):
        self.check("kill", -signal.SIGKILL, "killed")

    def test_terminated(self):
        self.check("term", -signal.SIGTERM, "killed")

    def test_under_musl(self):
        self.program = self.musl_program("leave")
        for how, status, state in (("return", 5, "exited"), ("_exit", 5, "exited"), ("quick_exit", 5, "exited"),
                                   ("thread", 5, "exited"), ("pthread_exit", 0, "exited"),
                                   ("abort", -signal.SIGABRT, "killed"), ("kill", -signal.SIGKILL, "killed")):
            with self.subTest(how=how):
                self.check(how, status, state)
                os.unlink(self.recording())


class Litter(harness.Case):
    """Short-lived helpers leave nothing behind."""

    auto = {"MEMTRACE_KEEP": "auto", "MEMTRACE_SAMPLE": None}

    def test_health_checks(self):
        for _ in range(60):
            run = self.run_program("/bin/sh", "-c", "test -d / && echo ok | grep -q ok", env=self.auto)
            self.assertEqual((run.status, run.out, run.err), (0, b"", b""))
        self.assertEqual(self.files(), [])

    def test_bash_with_pipes_and_subshells(self):
        script = """
        set -e
        for i in 1 2 3; do
          value=$(echo "$i" | sed s/1/one/ | tr a-z A-Z)
          (cd / && ls | uniq | head -n 3 > /dev/null)
          cat <(echo "$value") > /dev/null
        done
        while read -r line; do :; done < <(seq 20)
        (exit 3) || echo "subshell $?"
        sleep 0.05 & wait
        """
        run = self.run_both("bash", "-c", script, env=self.auto)
        self.assertEqual((run.status, run.out), (0, b"subshell 3\n"))
        self.assertEqual(self.files(), [])

    def test_failing_helpers(self):
        run = self.run_program("/bin/sh", "-c", "false; cat /nowhere; /bin/true; exit 1", env=self.auto)
        self.assertEqual(run.status, 1)
        self.assertEqual(self.files(), [])

    def test_kept_on_request(self):
        self.run_program("/bin/true", env={"MEMTRACE_KEEP": "always"})
        self.assertEqual(len(self.files()), 1)

    def test_kept_because_of_a_snapshot(self):
        process = self.start(harness.program("busy"), 0, env=self.auto, stdin=subprocess.PIPE)
        self.await_line(process)
        process.send_signal(signal.SIGUSR2)
        harness.wait_until(lambda: self.files(".snap"), what="a snapshot")
        process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual(len(self.files(".rec")), 1)

    def test_most_files_per_executable(self):
        pids = [self.run_program(harness.program("leave"), "return", env={"MEMTRACE_KEEP_FILES": "3"}).pid for _ in range(8)]
        self.run_program("/bin/true", env={"MEMTRACE_KEEP_FILES": "3"})
        kept = [path for path in self.files(".rec") if "leave" in os.path.basename(path)]
        self.assertEqual(len(kept), 3)
        self.assertIn(f".{pids[-1]}.", " ".join(kept))

    def test_files_of_living_processes_stay(self):
        living = [self.start(harness.program("busy"), 0, stdin=subprocess.PIPE) for _ in range(3)]
        for process in living:
            self.await_line(process)
        self.run_program(harness.program("busy"), 0, env={"MEMTRACE_KEEP_FILES": "1"})
        self.assertEqual(len([path for path in self.files(".rec") if any(f".{p.pid}." in path for p in living)]), 3)


if __name__ == "__main__":
    harness.main()
