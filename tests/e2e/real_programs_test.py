"""Interpreters give the same output and exit status with the library, and a report that makes sense."""

import os

import harness
from real_programs import RealProgram, find

PYTHON_WORK = """
import json, re, sqlite3, threading, zlib
table = {i: {"name": str(i) * 3, "tags": [str(j) for j in range(i % 7)]} for i in range(20000)}
text = json.dumps(table)
found = []
threads = [threading.Thread(target=lambda: found.append(len(re.findall(r'"name": "(\\d+)"', text)))) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
data = zlib.compress(text.encode())
base = sqlite3.connect(":memory:")
base.execute("create table t(a, b)")
base.executemany("insert into t values(?, ?)", ((i, str(i)) for i in range(5000)))
print(len(text), found, len(data), base.execute("select sum(a), count(distinct b) from t").fetchone())
"""

PERL_WORK = r"""
my %words; my @lines;
for my $i (1 .. 60000) { my $w = "w" . ($i * 7919 % 4001); $words{$w} += length($w); push @lines, "$w $i" if $i % 3 == 0; }
@lines = sort { $a cmp $b } @lines;
my $text = join("\n", @lines); $text =~ s/(\d+)/<$1>/g;
printf "%d %d %s\n", scalar(keys %words), length($text), substr($text, 0, 40);
"""

NODE_WORK = """
const rows = [];
for (let i = 0; i < 50000; ++i) rows.push({i, name: 'n' + (i * 31 % 1000), data: Buffer.alloc(100, i % 256)});
const zlib = require('zlib'), crypto = require('crypto');
const packed = zlib.deflateSync(JSON.stringify(rows.slice(0, 2000)));
console.log(rows.length, crypto.createHash('sha256').update(zlib.inflateSync(packed)).digest('hex'));
"""

NODE_SIGNAL = """
let seen = 0, kept = [];
process.on('SIGUSR2', () => { console.log('handled', ++seen); });
setInterval(() => { kept.push(Buffer.alloc(1 << 16)); if (seen >= 2) process.exit(7); }, 5);
console.log('ready');
"""

SQL_WORK = "".join(
    ["create table t(a integer primary key, b text, c real);\n", "create index i on t(b);\n", "begin;\n"]
    + [f"insert into t values({i}, 'row {i * 7919 % 5003}', {i}.5);\n" for i in range(4000)]
    + ["commit;\n"]
    + [f"select count(*), sum(c) from t where b like 'row {i}%';\n" for i in range(100)]
    + ["delete from t where a % 3 = 0;\n", "vacuum;\n", "select b, c from t order by b, a limit 50;\n"])


class Interpreters(RealProgram):
    def test_system_python(self):
        self.compare("/usr/bin/python3", "-c", PYTHON_WORK, least_bytes=1 << 20)

    def test_first_python(self):
        """Whatever python3 is first in the path: a version manager's, with an allocator of its own perhaps."""
        self.compare(find("python3"), "-c", PYTHON_WORK, least_bytes=1 << 20, env={"HOME": os.environ.get("HOME", "/")})

    def test_perl(self):
        self.compare(find("perl"), "-e", PERL_WORK, least_bytes=1 << 20)

    def test_node(self):
        self.compare(find("node"), "-e", NODE_WORK, least_bytes=1 << 20)

    def test_sqlite3(self):
        path = os.path.join(self.work, "statements.sql")
        with open(path, "w") as file:
            file.write(SQL_WORK)
        self.compare(find("sqlite3"), ":memory:", f".read {path}", least_bytes=1 << 20)

    def test_node_keeps_its_own_handler(self):
        node = self.start(find("node"), "-e", NODE_SIGNAL)
        self.await_line(node)
        for expected in (b"handled 1\n", b"handled 2\n"):
            self.snapshot(node.pid)
            self.await_line(node, expected)
        self.assertEqual(node.wait(harness.TIMEOUT_S), 7)

    def test_snapshot_while_python_works(self):
        python = self.start("/usr/bin/python3", "-u", "-c", "print('ready')\nk = []\nwhile True: k = [bytes(1000 + i) for i in range(1000)]")
        self.await_line(python)
        for _ in range(3):
            self.assert_plausible(self.snapshot(python.pid), 1 << 20)
        self.assertIsNone(python.poll())


if __name__ == "__main__":
    harness.main()
