"""libmemtrace.so loads into every process: it needs nothing, exports what it interposes, and runs one constructor."""

import os
import re
import subprocess
import unittest

LIBRARY = os.environ["LINKAGE_LIBRARY"]
READELF = os.environ.get("LINKAGE_READELF") or "readelf"
EXPORTS = os.path.join(os.environ["LINKAGE_SOURCES"], "libmemtrace", "interpose", "exports.map")
# Weak, unversioned, and missed by nobody: a libc that lacks one leaves it zero.
MAY_BE_UNDEFINED = {"environ", "getauxval", "__errno_location"}
MOST_TLS_BYTES = 64


def readelf(*options):
    done = subprocess.run([READELF, "--wide", *options, LIBRARY], capture_output=True, text=True, check=True)
    return done.stdout


class Symbol:
    def __init__(self, fields):
        self.kind, self.binding, self.section = fields[3], fields[4], fields[6]
        self.name, _, self.version = fields[7].partition("@") if len(fields) > 7 else ("", "", "")


def dynamic_symbols():
    lines = (line.split() for line in readelf("--dyn-syms").splitlines())
    return [Symbol(fields) for fields in lines if len(fields) > 7 and fields[0].rstrip(":").isdigit()]


class Library(unittest.TestCase):
    def test_exports_what_the_map_lists(self):
        with open(EXPORTS, encoding="ascii") as file:
            text = file.read()
        listed = set(re.findall(r"[\w]+(?=;)", text.split("global:")[1].split("local:")[0]))
        exported = {symbol.name for symbol in dynamic_symbols() if symbol.section != "UND"}
        self.assertEqual(exported, listed)

    def test_undefined_symbols_are_weak_and_few(self):
        undefined = [symbol for symbol in dynamic_symbols() if symbol.section == "UND" and symbol.name]
        self.assertLessEqual({symbol.name for symbol in undefined}, MAY_BE_UNDEFINED)
        self.assertEqual({symbol.binding for symbol in undefined}, {"WEAK"})

    def test_needs_no_library(self):
        dynamic = readelf("--dynamic")
        self.assertNotIn("(NEEDED)", dynamic)
        self.assertNotIn("(RPATH)", dynamic)
        self.assertNotIn("(RUNPATH)", dynamic)
        self.assertIn("libmemtrace.so", dynamic)  # the soname

    def test_needs_no_version(self):
        """So that glibc 2.17 and musl load it."""
        dynamic = readelf("--dynamic")
        for tag in ("VERNEED", "VERDEF", "VERSYM"):
            self.assertNotIn(f"({tag})", dynamic)

    def test_hash_tables_for_old_and_new_loaders(self):
        dynamic = readelf("--dynamic")
        self.assertIn("(HASH)", dynamic)
        self.assertIn("(GNU_HASH)", dynamic)
        self.assertNotIn("(RELR)", dynamic)  # glibc 2.36

    def test_no_text_relocations(self):
        self.assertNotIn("TEXTREL", readelf("--dynamic"))

    def test_stack_is_not_executable_and_no_segment_is_both(self):
        segments = [line.split() for line in readelf("--program-headers").splitlines() if " 0x" in line]
        flags = {(fields[0], "".join(fields[6:-1])) for fields in segments}
        self.assertIn("RW", [flag for kind, flag in flags if kind == "GNU_STACK"])
        self.assertEqual([(kind, flag) for kind, flag in flags if "W" in flag and "E" in flag], [])

    def test_thread_local_storage_is_small_and_initial_exec(self):
        tls = [line.split() for line in readelf("--program-headers").splitlines() if line.split()[:1] == ["TLS"]]
        self.assertEqual(len(tls), 1)
        file_size, memory_size = (int(value, 16) for value in tls[0][4:6])
        self.assertEqual(file_size, 0, "thread-locals begin as zero")
        self.assertLessEqual(memory_size, MOST_TLS_BYTES)
        self.assertNotRegex(readelf("--relocs"), r"DTPMOD|TLSDESC")

    def test_one_constructor(self):
        sections = readelf("--section-headers")
        for name in (".init_array", ".fini_array"):
            sizes = re.findall(rf"\s{re.escape(name)}\s+\S+\s+\S+\s+\S+\s+([0-9a-f]+)", sections)
            self.assertEqual([int(size, 16) for size in sizes], [8], name)
        self.assertNotIn(".ctors", sections)

    def test_relocations_are_of_the_common_kinds(self):
        kinds = set(re.findall(r"R_(?:X86_64|AARCH64)_(\w+)", readelf("--relocs")))
        self.assertLessEqual(kinds, {"RELATIVE", "GLOB_DAT", "JUMP_SLOT", "JUMP_SLO", "64", "ABS64", "TPOFF64", "TLS_TPREL",
                                     "TPREL64"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
