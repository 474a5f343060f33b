"""Names of functions, from the recording of a real program to the report: cached, compiled at run time, and asked for where a
user waits."""

import os
import pty
import shutil
import subprocess
import time

import harness

NODE_SERVER = """
const kept = [];
function keepBuffers() { for (let i = 0; i < 10; i++) kept.push(Buffer.allocUnsafeSlow(20000)); }
function handleRequest() { keepBuffers(); }
for (let i = 0; i < 3000; i++) handleRequest();
console.log('ready');
setInterval(() => 0, 1000);
"""


class Names(harness.Case):
    def read_terminal(self, *arguments, feed):
        """Runs memtrace-report with a terminal as standard error and `feed(pipe)` for its input; what the terminal got."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        env = {**os.environ, "TERM": "xterm", "XDG_CACHE_HOME": self.work}
        process = subprocess.Popen([harness.REPORT, *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=slave, env=env)
        os.close(slave)
        feed(process.stdin)
        process.stdin.close()
        seen = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # EIO: the other end is closed
                part = b""
            if not part:
                break
            seen += part
        self.assertEqual(process.wait(harness.TIMEOUT_S), 0, seen)
        return seen

    def test_work_over_a_second_shows_progress_and_leaves_no_trace(self):
        self.assertEqual(self.run_program(harness.program("sites")).status, 0)
        with open(self.recording(), "rb") as file:
            content = file.read()

        def slowly(pipe):
            pipe.write(content[:100000])
            pipe.flush()
            time.sleep(1.3)
            pipe.write(content[100000:])

        # On a busy machine it may take a second now and then.
        self.assertTrue(any(self.read_terminal("--no-symbols", "-", feed=lambda pipe: pipe.write(content)) == b"" for _ in range(5)))
        seen = self.read_terminal("--no-symbols", "-", feed=slowly)
        self.assertIn(b"memtrace-report: reading", seen)
        self.assertTrue(seen.endswith(b"\r\x1b[K"), seen)

    def test_a_second_report_reads_no_symbols_again(self):
        self.assertEqual(self.run_program(harness.program("sites")).status, 0)
        cache = os.path.join(self.work, "cache")
        command = [harness.REPORT, "--json", self.recording()]
        env = {**os.environ, "XDG_CACHE_HOME": cache}
        first = subprocess.run(command, capture_output=True, env=env, check=True).stdout
        names = os.listdir(os.path.join(cache, "memtrace", "symbols"))
        self.assertTrue(names)
        self.assertTrue(all(name.endswith(".symbols") for name in names), names)
        self.assertEqual(subprocess.run(command, capture_output=True, env=env, check=True).stdout, first)
        for damage in (b"", b"\0" * 1000):
            for name in names:
                with open(os.path.join(cache, "memtrace", "symbols", name), "wb") as file:
                    file.write(damage)
            self.assertEqual(subprocess.run(command, capture_output=True, env=env, check=True).stdout, first)
        shutil.rmtree(cache)
        subprocess.run([*command, "--no-cache"], capture_output=True, env=env, check=True)
        self.assertFalse(os.path.exists(cache))
        nowhere = {**env, "XDG_CACHE_HOME": "/proc/nowhere"}
        self.assertEqual(subprocess.run(command, capture_output=True, env=nowhere, check=True).stdout, first)

    def test_functions_that_node_compiled(self):
        node = shutil.which("node")
        if node is None:
            self.skipTest("node is not installed")
        process = self.start(node, "--perf-basic-prof", "-e", NODE_SERVER)
        self.addCleanup(self.remove, f"/tmp/perf-{process.pid}.map")
        self.await_line(process)
        taken = subprocess.run([harness.TOOL, "snapshot", str(process.pid)], capture_output=True, check=True).stdout.decode().strip()
        process.kill()
        process.wait()
        self.remove(f"/tmp/perf-{process.pid}.map")  # the snapshot has it
        stacks = [[frame["function"] for frame in site["stack"]] for site in self.report(taken, symbols=True)["sites"]]
        self.assertTrue(any("keepBuffers" in stack for stack in stacks))

    @staticmethod
    def remove(path):
        if os.path.exists(path):
            os.unlink(path)


if __name__ == "__main__":
    harness.main()
