"""Documents that name tests, and a table that names worlds and behaviours, name what there is."""

import os
import re
import unittest

ROOT = os.environ["LINKAGE_SOURCES"]
NAMED = re.compile(r"`(tests/[^`:]+): (\w+)`")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


class Documents(unittest.TestCase):
    def test_hazards_name_tests_that_exist(self):
        lines = [line for line in read("docs/hazards.md").splitlines() if line.startswith("| ") and not line.startswith("| hazard")]
        self.assertGreater(len(lines), 50)
        for line in lines:
            with self.subTest(hazard=line.split("|")[1].strip()):
                named = NAMED.findall(line)
                self.assertTrue(named, "no test")
                for path, name in named:
                    text = read(path)
                    pattern = rf"^\s*(def {name}\(|class {name}\b|TEST(_F|_P)?\(\w+, {name}\))"
                    self.assertRegex(text, re.compile(pattern, re.MULTILINE), path)

    def test_compatibility_has_every_behaviour_and_world(self):
        table = read("docs/compatibility.md")
        for title in re.findall(r'def test_\w+\(self\):\n        """(.+?)"""', read("tests/e2e/worlds_test.py")):
            self.assertIn(f"| {title} |", table)
        self.assertNotIn("**FAILED**", table)


if __name__ == "__main__":
    unittest.main(verbosity=2)
