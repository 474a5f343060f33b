"""memtrace-report for arm64, under qemu-user: of the same files it says, to the byte, what this machine's says."""

import json
import os
import signal
import subprocess

import harness
import worlds

OUTPUTS = ("--json", "--folded", "--speedscope", "--jeprof", "--html", "--pprof")


class Arm64Report(harness.Case):
    world = worlds.EMULATED[0]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.prepare()
        cls.reporter = os.path.join(cls.world.build, "tools", "memtrace-report")

    def run_report(self, command, *arguments, cache):
        env = dict(os.environ, XDG_CACHE_HOME=os.path.join(self.root, cache), COLUMNS="80")
        return subprocess.run([*command, *arguments], capture_output=True, timeout=harness.TIMEOUT_S, check=False, env=env)

    def assert_same_reports(self, *paths):
        for options in ((), ("--top", "0"), *((output,) for output in OUTPUTS), ("--json", "--no-symbols")):
            with self.subTest(options=options):
                ours = self.run_report([harness.REPORT], *options, *paths, cache="ours")
                theirs = self.run_report(self.world.command([self.reporter]), *options, *paths, cache="theirs")
                self.assertEqual((theirs.returncode, theirs.stderr), (ours.returncode, ours.stderr))
                self.assertEqual(theirs.stdout, ours.stdout)
                self.assertEqual(ours.returncode, 0, ours.stderr)
        return json.loads(ours.stdout)

    def start_emulated(self, name, *arguments):
        env = self.world.environment(self.environment(LD_PRELOAD=self.world.library(), MEMTRACE_QUIET="1"))
        command = self.world.command([self.world.program(name), *map(str, arguments)])
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   cwd=self.work)
        self.addCleanup(self._end, process)
        return process

    def test_recordings_of_arm64(self):
        process = self.start_emulated("leak_or_tree", "leak")
        out, err = process.communicate(timeout=harness.TIMEOUT_S)
        self.assertEqual((process.returncode, err), (0, b""), out)
        report = self.assert_same_reports(self.recordings)
        self.assertGreater(report["totals"]["live_bytes"], 1 << 20)
        functions = {frame["function"] for site in self.report(self.recording(), symbols=True)["sites"] for frame in site["stack"]}
        self.assertIn("Leak", functions, "this machine reads the symbols of arm64")

    def test_a_killed_process(self):
        process = self.start_emulated("survivor", os.path.join(self.work, "ledger"))
        self.await_line(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertEqual(self.assert_same_reports(self.recordings)["recording"]["state"], "killed")

    def test_recordings_of_this_machine(self):
        self.run_program(harness.program("leak_or_tree"), "leak")
        self.assert_same_reports(self.recordings)

    def test_kernel_log(self):
        with open(os.path.join(self.work, "kernel.log"), "w", encoding="ascii") as file:
            file.write("[ 5.000001] memory: usage 98304kB, limit 98304kB, failcnt 17\n"
                       "[ 5.000002] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
                       "oom_memcg=/a,task_memcg=/a,task=batch,pid=30415,uid=33\n"
                       "[ 5.000003] Memory cgroup out of memory: Killed process 30415 (batch) total-vm:150000kB, "
                       "anon-rss:97000kB, file-rss:4kB, shmem-rss:0kB, UID:33 pgtables:228kB oom_score_adj:0\n")
        results = [self.run_report(command, "--json", file.name, cache="none")
                   for command in ([harness.REPORT], self.world.command([self.reporter]))]
        self.assertEqual(results[0].stdout, results[1].stdout)
        self.assertEqual(json.loads(results[1].stdout)["oom"]["kills"][0]["pid"], 30415)

    def test_what_is_no_recording(self):
        for name, content in (("empty", b""), ("elf", b"\x7fELF" + bytes(5000)), ("torn", b"MEMTRACE" + bytes(100))):
            path = os.path.join(self.work, name)
            with open(path, "wb") as file:
                file.write(content)
            results = [self.run_report(command, path, cache="none") for command in ([harness.REPORT], self.world.command([self.reporter]))]
            self.assertEqual(*[(done.returncode, done.stdout, done.stderr) for done in results])
            self.assertEqual(results[0].returncode, 1)


if __name__ == "__main__":
    harness.main()
