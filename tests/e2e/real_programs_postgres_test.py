"""PostgreSQL gives the same answers with the library in all of its processes."""

import glob
import os
import pwd
import re
import shutil
import signal

import harness
from real_programs import MODES, RealProgram, free_port


class Postgres(RealProgram):
    """initdb and pgbench as the user postgres."""

    def setUp(self):
        super().setUp()
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            self.skipTest("postgresql is not installed")
        if os.getuid() != 0:
            self.skipTest("only root can become the user postgres")
        self.bin = found[-1]
        self.user = pwd.getpwnam("postgres")
        os.chmod(self.work, 0o777)

    def as_postgres(self):
        os.setgroups([])
        os.setgid(self.user.pw_gid)
        os.setuid(self.user.pw_uid)

    def run_as_postgres(self, name, *arguments, **options):
        return self.run_program(os.path.join(self.bin, name), *arguments, preexec_fn=self.as_postgres, timeout=300, **options)

    def test_initdb_and_pgbench(self):
        sums = {}
        for mode, env in {"bare": None, **MODES}.items():
            shutil.rmtree(self.recordings, ignore_errors=True)
            os.mkdir(self.recordings)
            os.chmod(self.recordings, 0o1777)
            sums[mode] = self.one(mode, env)
        self.assertEqual(sums["exact"], sums["bare"])
        self.assertEqual(sums["default"], sums["bare"])

    def one(self, mode, env):
        preload = env is not None
        env = {**(env or {}), "MEMTRACE_KEEP_FILES": "1000"}
        data = os.path.join(self.work, mode)
        made = self.run_as_postgres("initdb", "-D", data, "--no-sync", "-A", "trust", "--locale=C", preload=preload, env=env)
        self.assertEqual((made.status, made.err), (0, b""))
        port = free_port()
        server = self.serve(os.path.join(self.bin, "postgres"), "-D", data, "-p", port, "-k", self.work, "-c", "fsync=off", "-c",
                            "listen_addresses=127.0.0.1", port=port, preload=preload, env=env, preexec_fn=self.as_postgres)
        where = ("-h", self.work, "-p", port)
        harness.wait_until(lambda: self.run_as_postgres("pg_isready", *where, preload=False).status == 0)
        self.assertEqual(self.run_as_postgres("pgbench", "-i", "-q", *where, "postgres", preload=preload, env=env).status, 0)
        bench = self.start(os.path.join(self.bin, "pgbench"), "-n", "-c", 2, "-t", 300, "--random-seed=1", *where, "postgres",
                           preload=preload, env=env, preexec_fn=self.as_postgres)
        if preload:
            self.snapshot(server.pid)
        out, err = bench.communicate(timeout=300)
        self.assertEqual(bench.returncode, 0, err)
        self.assertIn(b"600/600", out)
        print(mode, re.search(rb"tps = ([\d.]+)", out)[1].decode(), "tps", end=" ", flush=True)
        query = "select count(*), sum(aid) from pgbench_accounts union all select count(*), 0 from pgbench_history"
        rows = self.run_as_postgres("psql", *where, "-Atc", query, "postgres", preload=preload, env=env)
        server.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(harness.TIMEOUT_S), 0)
        if preload:
            self.assert_plausible(self.largest_report(), 1 << 20 if mode == "exact" else 1)
        return rows.status, rows.out


if __name__ == "__main__":
    harness.main()
