"""The arrows between the folders, and how large a file may be."""

import os
import re
import unittest

ROOT = os.environ["LINKAGE_SOURCES"]
SOURCES = (".cc", ".h", ".c", ".py", ".S")
LAYERS = ["format", "rt", "config", "unwind", "core", "interpose"]  # each may include itself and those before it
NOBODY_INCLUDES = ("tools", "tests", "benchmarks")
MOST_LINES = 600
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def sources(*folders):
    """(path from the root, text) of the source files below `folders`."""
    for folder in folders:
        for place, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(names):
                if not name.endswith(SOURCES):
                    continue
                path = os.path.join(place, name)
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, ROOT), file.read()


class Sources(unittest.TestCase):
    def test_layers_of_the_library(self):
        for path, text in sources("libmemtrace"):
            layer = LAYERS.index(path.split("/")[1])
            for included in INCLUDE.findall(text):
                parts = included.split("/")
                with self.subTest(path=path, included=included):
                    self.assertEqual(parts[0], "libmemtrace", "includes go by path from the root")
                    self.assertLessEqual(LAYERS.index(parts[1]), layer)

    def test_format_includes_nothing_of_ours(self):
        for path, text in sources("libmemtrace/format"):
            for included in INCLUDE.findall(text):
                self.assertTrue(included.startswith("libmemtrace/format/"), f"{path}: {included}")

    def test_nobody_includes_tools_tests_or_benchmarks(self):
        for path, text in sources("libmemtrace", "injector", "tools", "benchmarks"):
            for included in INCLUDE.findall(text):
                folder = included.split("/")[0]
                if folder in NOBODY_INCLUDES:
                    with self.subTest(path=path, included=included):
                        self.assertEqual(folder, path.split("/")[0])

    def test_tools_know_the_library_by_its_format(self):
        """rt and config are plain functions, which the helper may use; what runs in the hook stays there."""
        for path, text in sources("tools", "injector"):
            for included in INCLUDE.findall(text):
                with self.subTest(path=path, included=included):
                    self.assertNotRegex(included, r"^libmemtrace/(interpose|unwind)/")

    def test_no_file_is_too_long(self):
        for path, text in sources("libmemtrace", "tools", "injector", "tests", "benchmarks"):
            self.assertLessEqual(text.count("\n"), MOST_LINES, path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
