"""Attached and detached 500 times, with a busy program of 50 threads and a redis server under load."""

import os
import re
import shutil
import subprocess
import time

import attach_test
import harness
import real_programs

ROUNDS = int(os.environ.get("ATTACH_ROUNDS", "500"))


class Rounds(attach_test.Attaching):
    def rounds(self, process):
        for i in range(ROUNDS):
            self.attach(process, sample=("1", "64KiB", "auto")[i % 3])
            self.detach(process)
            self.assertIsNone(process.poll(), f"the program ended in round {i}")

    def assert_nothing_left(self, process, before):
        with open(f"/proc/{process.pid}/maps") as maps:
            now = maps.read()
        self.assertNotIn(".rec", now)
        # The library, its table of rules, and what the threads' stacks may have taken meanwhile.
        self.assertLess(now.count("\n"), before + 60)

    def test_busy_threads(self):
        process = self.start(harness.program("busy"), "50" if ROUNDS > 100 else "8", preload=False, stdin=subprocess.PIPE)
        self.await_line(process)
        with open(f"/proc/{process.pid}/maps") as maps:
            before = maps.read().count("\n")

        def rate():
            begin, pairs = time.monotonic(), int(self.command(process, ""))
            time.sleep(2)
            return (int(self.command(process, "")) - pairs) / (time.monotonic() - begin)

        fresh = rate()
        self.rounds(process)
        self.assert_nothing_left(process, before)
        print(f"busy: {fresh:.0f} pairs/s before, {rate():.0f} after {ROUNDS} rounds", flush=True)
        self.finish(process)

    def test_redis_under_load(self):
        if not shutil.which("redis-server"):
            self.skipTest("there is no redis-server: package redis-server")
        port = str(real_programs.free_port())
        server = self.start("redis-server", "--port", port, "--save", "", "--dir", self.work, preload=False,
                            stdout=subprocess.DEVNULL)
        cli = ["redis-cli", "-p", port]
        harness.wait_until(lambda: subprocess.run([*cli, "ping"], capture_output=True, check=False).stdout == b"PONG\n")
        with open(f"/proc/{server.pid}/maps") as maps:
            before = maps.read().count("\n")
        bench = ["redis-benchmark", "-p", port, "-t", "set,get", "-c", "50", "-r", "10000", "-d", "100", "-q"]

        def rate():
            done = subprocess.run([*bench, "-n", str(min(200_000, 2000 * ROUNDS))], capture_output=True, text=True, check=True)
            return sum(float(x) for x in re.findall(r": ([\d.]+) requests per second", done.stdout))

        fresh = rate()
        load = self.start(*bench, "-n", "1000000000", preload=False)
        self.rounds(server)
        load.terminate()
        out, err = load.communicate(timeout=harness.TIMEOUT_S)
        self.assertNotRegex(out + err, rb"(?i)error|lost|refused|reset")
        # Every request was answered: what was written can be read.
        subprocess.run([*cli, "set", "answer", "42"], check=True, capture_output=True)
        self.assertEqual(subprocess.run([*cli, "get", "answer"], check=True, capture_output=True).stdout, b"42\n")
        self.assert_nothing_left(server, before)
        print(f"redis: {fresh:.0f} requests/s before, {rate():.0f} after {ROUNDS} rounds", flush=True)
        server.terminate()
        self.assertEqual(server.wait(timeout=harness.TIMEOUT_S), 0)


if __name__ == "__main__":
    harness.main()
