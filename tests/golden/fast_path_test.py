"""Instructions that the library adds to a call, by mode, compared with fast_path.txt.

A change of the hot path shows up here as a change of that file: fast_path_test.py --update (with the environment that ctest
sets, see CMakeLists.txt) writes it anew. The counts are those of Debian 12's GCC, glibc and valgrind.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

GOLDEN = pathlib.Path(__file__).with_name("fast_path.txt")
CALLS = 500
FUNCTIONS = ["malloc", "calloc", "realloc", "free"]
# "off" is a process that is not recorded; a rate that is never reached leaves the bare fast path of sampling.
MODES = {"off": {"MEMTRACE_ONLY": "none"}, "sampled": {"MEMTRACE_SAMPLE": "1GiB"}, "exact": {"MEMTRACE_SAMPLE": "1"}}
# Runs per mode, of which the least counts: now and then the time line looks at the clock and at /proc.
RUNS = {None: 1, "off": 1, "sampled": 1, "exact": 3}
TOLERANCE_SHARE = 0.02
TOLERANCE_INSTRUCTIONS = 1.5


def count(mode, directory):
    """Instructions of each function's section in a run in one mode; None is without the library."""
    environment = {**os.environ, "MEMTRACE_QUIET": "1", "MEMTRACE_DIR": directory, "MEMTRACE_MAX": "4MiB"}
    if mode is not None:
        environment |= {**MODES[mode], "LD_PRELOAD": os.path.abspath(os.environ["GOLDEN_LIBRARY"])}
    subprocess.run([os.environ["GOLDEN_VALGRIND"], "--tool=callgrind", f"--callgrind-out-file={directory}/out",
                    os.environ["GOLDEN_PROGRAM"], str(CALLS)],
                   env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sections = {}
    dumps = sorted(pathlib.Path(directory).glob("out.*"), key=lambda path: int(path.suffix[1:]))
    for dump in dumps:  # of the second round where there are two
        text = dump.read_text()
        trigger = re.search(r"^desc: Trigger: Client Request: (\w+)$", text, re.MULTILINE)
        if trigger:
            sections[trigger[1]] = int(re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)[1])
        dump.unlink()
    return sections


def measure():
    with tempfile.TemporaryDirectory(prefix="memtrace-golden-") as directory:
        runs = {mode: [count(mode, directory) for _ in range(RUNS[mode])] for mode in RUNS}
    least = {mode: {name: min(run[name] for run in runs[mode]) for name in FUNCTIONS} for mode in runs}
    return {mode: {name: (least[mode][name] - least[None][name]) / CALLS for name in FUNCTIONS} for mode in MODES}


def text_of(table):
    lines = ["# Instructions that libmemtrace.so adds to a call; written by fast_path_test.py --update.",
             f"{'':8}" + "".join(f"{mode:>9}" for mode in MODES)]
    for name in FUNCTIONS:
        lines.append(f"{name:8}" + "".join(f"{table[mode][name]:9.1f}" for mode in MODES))
    return "\n".join(lines) + "\n"


def read_golden():
    rows = [line.split() for line in GOLDEN.read_text().splitlines() if line and not line.startswith("#")]
    return {mode: {row[0]: float(row[1 + i]) for row in rows[1:]} for i, mode in enumerate(rows[0])}


class FastPath(unittest.TestCase):
    def test_instructions_per_call(self):
        golden = read_golden()
        measured = measure()
        for mode in MODES:
            for name in FUNCTIONS:
                expected = golden[mode][name]
                allowed = max(TOLERANCE_INSTRUCTIONS, TOLERANCE_SHARE * expected)
                self.assertAlmostEqual(measured[mode][name], expected, delta=allowed,
                                       msg=f"{name}, {mode}. If this is meant, run with --update. Now:\n{text_of(measured)}")


if __name__ == "__main__":
    if "--update" in sys.argv:
        GOLDEN.write_text(text_of(measure()))
        print(GOLDEN.read_text(), end="")
    else:
        unittest.main()
