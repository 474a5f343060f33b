"""The demo runs to its end, and names the leak."""

import os
import subprocess
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Demo(unittest.TestCase):
    def test_names_the_leak(self):
        done = subprocess.run([os.path.join(ROOT, "scripts", "demo")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=1500, check=False)
        text = done.stdout.decode()
        self.assertEqual(done.returncode, 0, text)
        self.assertIn("RecordCancellation", text.split("Who is suspect 1?")[1])


if __name__ == "__main__":
    unittest.main(verbosity=2)
