"""memtrace-report and evidence in files: recognised by content, alone, from standard input, in directories."""

import json
import os
import subprocess

import harness

CONTAINER = "5" * 20 + "f" * 44
KERNEL_LOG = f"""\
[ 8123.000001] batch invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
[ 8123.000002] memory: usage 98304kB, limit 98304kB, failcnt 17
[ 8123.000003] swap: usage 0kB, limit 0kB, failcnt 0
[ 8123.000004] Memory cgroup stats for /docker/{CONTAINER}:
[ 8123.000005] anon 99614720
[ 8123.000006] file 4096
[ 8123.000007] kernel 1040384
[ 8123.000008] sock 0
[ 8123.000009] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={CONTAINER},mems_allowed=0,\
oom_memcg=/docker/{CONTAINER},task_memcg=/docker/{CONTAINER},task=batch,pid=30415,uid=33
[ 8123.000010] Memory cgroup out of memory: Killed process 30415 (batch) total-vm:150000kB, anon-rss:97000kB, \
file-rss:4kB, shmem-rss:0kB, UID:33 pgtables:228kB oom_score_adj:0
"""
INSPECT = json.dumps([{"Id": CONTAINER, "Name": "/nightly", "RestartCount": 0,
                       "State": {"Status": "exited", "Running": False, "OOMKilled": True, "Pid": 0, "ExitCode": 137},
                       "HostConfig": {"Memory": 98304 << 10}, "Config": {"Image": "batch:1"}}])
QUIET_LOG = "".join(f"[   {i}.000001] usb 1-{i}: new device\n" for i in range(50))
REPORTS = ("--json", "--html")
PROFILES = ("--folded", "--pprof", "--speedscope", "--jeprof")


class EvidenceFiles(harness.Case):
    def file(self, name, text):
        path = os.path.join(self.work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_report(self, *arguments, **options):
        return subprocess.run([harness.REPORT, *arguments], capture_output=True, timeout=harness.TIMEOUT_S, check=False,
                              encoding="utf-8", **options)

    def check_kill(self, report):
        kill, = report["oom"]["kills"]
        expected = {"time": 8123.00001, "pid": 30415, "comm": "batch", "scope": "memcg", "total_vm_kb": 150000,
                    "anon_rss_kb": 97000, "file_rss_kb": 4, "shmem_rss_kb": 0, "pgtables_kb": 228, "uid": 33,
                    "oom_score_adj": 0, "usage_kb": 98304, "limit_kb": 98304, "oom_memcg": f"/docker/{CONTAINER}",
                    "task_memcg": f"/docker/{CONTAINER}", "container_id": CONTAINER, "line": 10}
        self.assertEqual({key: kill[key] for key in expected}, expected)

    def test_a_log_and_a_state(self):
        done = self.run_report("--json", self.file("a", KERNEL_LOG), self.file("b", INSPECT))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        report = json.loads(done.stdout)
        self.check_kill(report)
        self.assertEqual((report["oom"]["container_oom_killed"], report["oom"]["exit_code"]), (True, 137))
        self.assertEqual([file["what"] for file in report["evidence"]["files"]], ["kernel log", "container state"])
        self.assertIsNone(report["totals"]["live_bytes"])
        self.assertEqual(report["cgroup"]["limit_bytes"], 98304 << 10)

    def test_standard_input(self):
        done = self.run_report("--json", "-", input=KERNEL_LOG)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_kill(json.loads(done.stdout))

    def test_a_directory_with_a_recording(self):
        self.run_program(harness.program("leave"), "return")
        os.makedirs(os.path.join(self.work, "all"))
        os.rename(self.recording(), os.path.join(self.work, "all", "a.rec"))
        self.file("all/evidence/kernel.log", KERNEL_LOG)
        self.file("all/evidence/inspect.json", INSPECT)
        self.file("all/evidence/memory.max", "100663296\n")
        self.file("all/evidence/memory.current", "99000000\n")
        self.file("all/notes.txt", "nothing that is known\n")
        done = self.run_report("--json", os.path.join(self.work, "all"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        report = json.loads(done.stdout)
        self.assertIsNotNone(report["totals"]["live_bytes"])
        self.assertEqual(report["evidence"]["cgroups"][0]["reads"], [["memory.current", 99000000], ["memory.max", 100663296]])

    def test_a_log_in_which_nothing_happened(self):
        done = self.run_report("--json", "--fail-on", "oom", self.file("quiet", QUIET_LOG))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        report = json.loads(done.stdout)
        self.assertEqual(report["oom"]["kills"], [])
        self.assertIn(report["verdict"]["cause"], ("none", "unknown"))

    def test_exit_status(self):
        self.assertEqual(self.run_report("--fail-on", "oom", self.file("a", KERNEL_LOG)).returncode, 4)
        foreign = self.run_report(self.file("c", "root:x:0:0\n"))
        self.assertEqual((foreign.returncode, foreign.stdout), (1, ""))
        self.assertIn("neither a recording nor", foreign.stderr)
        both = self.run_report(self.file("a", KERNEL_LOG), self.file("c", "root:x:0:0\n"))
        self.assertEqual(both.returncode, 3)
        self.assertIn("batch", both.stdout)

    def test_every_output_without_a_recording(self):
        log = self.file("a", KERNEL_LOG)
        for output in (*REPORTS, *PROFILES):
            with self.subTest(output=output):
                done = self.run_report(f"{output}={self.work}/out", log)
                self.assertEqual(done.returncode, 0 if output in REPORTS else 1, done.stderr)
                self.assertEqual("needs a recording" in done.stderr, output in PROFILES, done.stderr)

    def test_text_fits_the_terminal(self):
        done = self.run_report(self.file("a", KERNEL_LOG))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("batch (pid 30415)", done.stdout)
        self.assertIn("94.7 MiB anonymous", done.stdout)
        wide = [line for line in done.stdout.splitlines() if len(line) > 80 and " " in line.strip()]
        self.assertEqual(wide, [])


if __name__ == "__main__":
    harness.main()
