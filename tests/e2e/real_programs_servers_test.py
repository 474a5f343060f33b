"""Servers work the same with the library, answer while snapshots are taken, and leave a report that makes sense."""

import os
import re
import signal
import subprocess
import urllib.request

import harness
from real_programs import MODES, RealProgram, find, free_port

NGINX = """
daemon off; master_process on; worker_processes 2; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c;
  uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;
  server {{ listen 127.0.0.1:{port}; root {work}/files; gzip on; gzip_types *; }}
}}
"""


class Redis(RealProgram):
    def answers_of(self, preload, env):
        """What a fixed series of requests is answered, and the report of the server."""
        port = free_port()
        server = self.serve(find("redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", self.work,
                            port=port, preload=preload, env=env)
        # Enough data that a snapshot by samples of 512 KiB cannot be empty.
        subprocess.run([find("redis-benchmark"), "-p", str(port), "-q", "-n", "30000", "-r", "30000", "-d", "600", "-t", "set"],
                       stdout=subprocess.DEVNULL, check=True)
        benchmark = [find("redis-benchmark"), "-p", str(port), "-q", "--csv", "-n", "20000", "-r", "2000", "-d", "400",
                     "-t", "set,get,lpush,hset"]
        done = subprocess.Popen(benchmark, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        report = self.snapshot(server.pid) if preload else None
        rates = dict(re.findall(r'(?m)^"([A-Z]+)[^"]*","([\d.]+)"', done.communicate(timeout=harness.TIMEOUT_S)[0].decode()))
        self.assertEqual(done.returncode, 0)
        commands = "flushall\n" + "".join(f"set k{i} v{i * 7}\n" for i in range(500)) + "append k1 x\nstrlen k1\ndbsize\nget k499\n"
        out = subprocess.run([find("redis-cli"), "-p", str(port)], input=commands.encode(), capture_output=True, check=True).stdout
        server.terminate()
        self.assertEqual(server.wait(harness.TIMEOUT_S), 0)
        return out, rates, report

    def test_redis(self):
        bare, bare_rates, _ = self.answers_of(False, {})
        for mode, env in MODES.items():
            out, rates, report = self.answers_of(True, env)
            self.assertEqual(out, bare, mode)
            self.assert_plausible(report, 1 << 20 if mode == "exact" else 1)
            print(mode, *(f"{name} {float(bare_rates[name]) / float(rate):.2f}" for name, rate in rates.items() if name in bare_rates), end=" ", flush=True)


class Nginx(RealProgram):
    def test_serve_reload_and_exit(self):
        if os.getuid() == 0:
            os.chmod(self.work, 0o777)  # its workers become another user
        files = os.path.join(self.work, "files")
        os.mkdir(files)
        contents = {f"{i}.txt": b"line %d\n" % i * (i * 400) for i in range(1, 20)}
        for name, content in contents.items():
            with open(os.path.join(files, name), "wb") as file:
                file.write(content)
        port = free_port()
        with open(os.path.join(self.work, "nginx.conf"), "w") as file:
            file.write(NGINX.format(work=self.work, port=port))
        server = self.serve(find("nginx"), "-p", self.work, "-c", os.path.join(self.work, "nginx.conf"), port=port)
        self.fetch(port, contents)
        workers = harness.wait_until(lambda: len(found := self.workers(server.pid)) == 2 and found, what="two workers")
        for worker in workers:  # the master would take USR2 as the order to upgrade itself
            self.snapshot(worker)
        self.fetch(port, contents)
        os.kill(server.pid, signal.SIGHUP)
        harness.wait_until(lambda: not set(workers) & set(self.workers(server.pid)), what="the end of the old workers")
        self.fetch(port, contents)
        server.send_signal(signal.SIGQUIT)
        self.assertEqual(server.wait(harness.TIMEOUT_S), 0)
        reports = [self.report(path, symbols=True) for path in self.files(".rec")]
        self.assertEqual(len(reports), 5, "master, two workers, two after the reload")
        for report in reports:
            self.assertEqual(report["recording"]["state"], "exited")
        self.assert_plausible(self.report(self.recording(server.pid), symbols=True), 1 << 10)

    def workers(self, master):
        with open(f"/proc/{master}/task/{master}/children") as children:
            return [int(pid) for pid in children.read().split()]

    def fetch(self, port, contents):
        for name, content in contents.items():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=harness.TIMEOUT_S) as reply:
                self.assertEqual(reply.read(), content, name)


if __name__ == "__main__":
    harness.main()
