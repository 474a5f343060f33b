"""Large programs, unchanged, for minutes: the same results with the library as without."""

import os
import re
import shutil
import signal
import subprocess
import time

import harness
from real_programs import RealProgram, find, free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MINUTES = 15 * 60

# Of Python's own tests: allocation, threads, processes, signals, foreign functions.
PYTHON_MODULES = ("test_json", "test_re", "test_dict", "test_gc", "test_threading", "test_thread", "test_fork1", "test_wait4",
                  "test_sqlite3", "test_zlib", "test_ctypes", "test_signal", "test_queue", "test_weakref", "test_generators",
                  "test_decimal")

JAVA_WORK = """
import java.util.*; import java.util.concurrent.*; import java.util.zip.*; import java.nio.*;
public class Work {
  public static void main(String[] arguments) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(4);
    List<Future<Long>> parts = new ArrayList<>();
    for (int part = 0; part < 16; ++part) {
      final int seed = part;
      parts.add(pool.submit(() -> {
        long sum = 0;
        Random random = new Random(seed);
        for (int i = 0; i < 40; ++i) {
          byte[] data = new byte[100000];
          random.nextBytes(data);
          ByteBuffer direct = ByteBuffer.allocateDirect(data.length);
          direct.put(data).flip();
          CRC32 check = new CRC32();
          check.update(direct);
          Deflater deflater = new Deflater();
          deflater.setInput(data, 0, 5000);
          deflater.finish();
          sum += check.getValue() + deflater.deflate(new byte[10000]);
          deflater.end();
          if (i % 10 == 0) System.gc();
        }
        return sum;
      }));
    }
    long sum = 0;
    for (Future<Long> part : parts) sum += part.get();
    pool.shutdown();
    System.out.println(sum);
  }
}
"""

PAGE = """<!doctype html><title>page</title><body><script>
const rows = [];
for (let i = 0; i < 2000; ++i) {
  const row = document.createElement('p');
  row.textContent = 'row ' + (i * 7919 % 5003);
  document.body.append(row);
  rows.push(row.textContent);
}
rows.sort();
document.title = rows.slice(0, 3).join(',');
document.body.innerHTML = '<b id=sum>' + rows.join('').length + ' ' + rows[1999] + '</b>';
</script>"""

NGINX = """
daemon off; master_process on; worker_processes 2; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c;
  uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;
  server {{ listen 127.0.0.1:{port}; root {work}/files; gzip on; gzip_types *; keepalive_requests 1000000; }}
}}
"""


class BigPrograms(RealProgram):
    auto = {"MEMTRACE_SAMPLE": "auto", "MEMTRACE_KEEP": "auto", "MEMTRACE_KEEP_FILES": "1000"}

    def both_ways(self, run, least_reports=1):
        """run(preload, environment) gives the same without and with the library; every recording opens."""
        bare = run(False, {})
        recorded = run(True, self.auto)
        self.assertEqual(bare, recorded)
        recordings = self.files(".rec")
        self.assertGreaterEqual(len(recordings), least_reports)
        for path in recordings[:50]:
            self.report(path)

    def test_python_s_own_tests(self):
        python = "/usr/bin/python3"
        if subprocess.run([python, "-c", "import test.test_json"], capture_output=True, check=False).returncode != 0:
            self.skipTest("Python's tests are not installed: package libpython3.11-testsuite")

        def run(preload, env):
            done = self.run_program(python, "-m", "test", "-v", *PYTHON_MODULES, preload=preload, env=env, timeout=MINUTES)
            # What each single test said; times and order of threads aside.
            return done.status, sorted(set(re.findall(r"(?m)^(test\w+ \([\w.]+\)).* \.\.\. (ok|FAIL|ERROR|skipped)", done.out.decode())))

        self.both_ways(run)

    def test_java(self):
        compiler, java = find("javac"), find("java")
        source = os.path.join(self.work, "Work.java")
        with open(source, "w", encoding="ascii") as file:
            file.write(JAVA_WORK)

        def run(preload, env):
            built = self.run_program(compiler, "-d", self.work, source, preload=preload, env=env, timeout=MINUTES)
            done = self.run_program(java, "-Xmx128m", "-cp", self.work, "Work", preload=preload, env=env, timeout=MINUTES)
            return built.status, done.status, done.out

        self.both_ways(run)

    def test_build_of_this_project(self):
        """CMake, Ninja, the compiler, the assembler and the archiver: dozens of processes; what they make is the same."""
        cmake = find("cmake")

        def run(preload, env):
            build = os.path.join(self.work, "build")  # the same place, which is in the debug information
            shutil.rmtree(build, ignore_errors=True)
            done = [self.run_program(cmake, "-S", ROOT, "-B", build, "-G", "Ninja", "-DMEMTRACE_TESTS=OFF", "-DMEMTRACE_BENCHMARKS=OFF",
                                     preload=preload, env=env, timeout=MINUTES),
                    self.run_program(cmake, "--build", build, "--target", "memtrace_config", "-j", "2", preload=preload, env=env, timeout=MINUTES)]
            made = []
            for name in ("rt", "config"):
                with open(os.path.join(build, "libmemtrace", f"libmemtrace_{name}.a"), "rb") as file:
                    made.append(file.read())
            return [one.status for one in done], made

        self.both_ways(run, least_reports=5)

    def test_chromium_loads_a_page(self):
        """A program with an allocator of its own inside: nothing changes for it."""
        chromium = find("chromium")
        page = os.path.join(self.work, "page.html")
        with open(page, "w", encoding="ascii") as file:
            file.write(PAGE)

        def run(preload, env):
            done = self.run_program(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                    f"--user-data-dir={self.work}/profile-{preload}", "--dump-dom", f"file://{page}",
                                    preload=preload, env=env, timeout=MINUTES)
            return done.status, done.out

        bare = run(False, {})
        self.assertIn(b"id=\"sum\"", bare[1])
        self.assertEqual(bare, run(True, self.auto))

    def test_nginx_under_load_with_reloads(self):
        nginx, wrk = find("nginx"), find("wrk")
        if os.getuid() == 0:
            os.chmod(self.work, 0o777)
        os.mkdir(os.path.join(self.work, "files"))
        with open(os.path.join(self.work, "files", "page"), "wb") as file:
            file.write(b"a line\n" * 3000)
        port = free_port()
        with open(os.path.join(self.work, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(NGINX.format(work=self.work, port=port))
        server = self.serve(nginx, "-p", self.work, "-c", os.path.join(self.work, "nginx.conf"), port=port, env=self.auto)
        load = subprocess.Popen([wrk, "-t2", "-c32", "-d20s", f"http://127.0.0.1:{port}/page"], stdout=subprocess.PIPE)
        for _ in range(10):
            time.sleep(1.5)
            server.send_signal(signal.SIGHUP)
        out = load.communicate(timeout=harness.TIMEOUT_S)[0].decode()
        self.assertEqual(load.returncode, 0)
        self.assertNotIn("Non-2xx", out)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
        # Workers that end close the connections that they keep alive: such reads are no requests lost.
        self.assertTrue(errors is None or (errors[1], errors[3], errors[4]) == ("0", "0", "0"), out)
        self.assertGreater(int(re.search(r"(\d+) requests in", out)[1]), 1000)
        server.send_signal(signal.SIGQUIT)
        self.assertEqual(server.wait(harness.TIMEOUT_S), 0)
        for path in self.files(".rec"):
            self.assertEqual(self.report(path)["recording"]["state"], "exited")

    def test_git_on_a_large_repository(self):
        git = find("git")
        source = os.path.join(self.work, "large.git")
        bare = self.environment(preload=False)
        subprocess.run([git, "init", "-q", "--bare", source], env=bare, check=True)
        lines = ("".join(f"line {i} {i * 7919 % 10007}\n" for i in range(300)) for _ in range(1))
        text = next(lines)
        commits = []
        for i in range(8000):
            body = text[i % 997:] + f"{i}\n"
            commits.append(f"commit refs/heads/main\ncommitter A <a@b> {1700000000 + i} +0000\ndata 2\n{i % 10}\n"
                           f"M 644 inline dir{i % 37}/file{i % 501}\ndata {len(body)}\n{body}\n")
        subprocess.run([git, "-C", source, "fast-import", "--quiet"], input="".join(commits).encode(), env=bare, check=True)

        def run(preload, env):
            results = []
            copy = os.path.join(self.work, "copy")
            for command in ((git, "clone", "-q", "--no-local", source, copy), (git, "-C", copy, "log", "--stat", "-200"),
                            (git, "-C", copy, "repack", "-a", "-d", "-f", "-q", "--threads=2"), (git, "-C", copy, "fsck", "--no-progress"),
                            (git, "-C", copy, "blame", "dir1/file1"), (git, "-C", copy, "grep", "-c", "9999")):
                done = self.run_program(*command, preload=preload, env=env, timeout=MINUTES)
                results.append((done.status, done.out, done.err))
            shutil.rmtree(copy)
            return results

        self.both_ways(run)


if __name__ == "__main__":
    harness.main()
