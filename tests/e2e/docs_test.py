"""The first five minutes of docs/containers.md, run as they stand there.

The output in the document is what `docs_test.py --update` printed (with the environment that ctest gives this test): it runs them
with the service of the demo, and pastes the summary.
"""

import os
import re
import subprocess
import sys

import docker_daemon
import file_tree
import harness
from kernel_log import KernelLog

DOCUMENT = os.path.join(os.path.dirname(__file__), "../../docs/containers.md")
LEAKS = harness.program("leak_until_killed")
DEMO = os.path.join(os.environ["E2E_BUILD"], "demo/order-service")
SECTION = re.compile(r"(## The first five minutes\n.*?```sh\n)(.*?)(```\n.*?```text\n)(.*?)(```\n)", re.DOTALL)


def document():
    with open(DOCUMENT, encoding="utf-8") as file:
        return file.read()


def heads(text):
    """What each line that is not indented begins with, without figures and names."""
    return [re.split(r"[:\[]", line)[0] for line in text.splitlines() if line and not line.startswith((" ", "..."))]


class FirstFiveMinutes(harness.Case):
    def run_as_written(self, program):
        """The output. The service is the reader's, the daemon has no network, and the end comes sooner than in a minute."""
        KernelLog()  # room for the kernel's full report
        docker = docker_daemon.DockerDaemon()
        self.addCleanup(docker.close)
        docker.need_memory_limits()
        docker.make_image("shop", file_tree.FileTree().add_program("shop", program))
        block = SECTION.search(document())[2]
        for written, here in (("IMAGE", "shop /shop"), ("docker run", "docker run --network=none --memory-swap=100m"),
                              ("--memory=256m", "--memory=100m"), ("sleep 60", "docker wait web")):
            self.assertIn(written, block)
            block = block.replace(written, here)
        folders = [os.path.dirname(harness.TOOL), os.path.dirname(harness.REPORT), os.environ["PATH"]]
        done = subprocess.run(["sh", "-e", "-c", block], env=dict(docker.environment(), PATH=":".join(folders)), cwd=self.work,
                              capture_output=True, text=True, check=False, timeout=harness.TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_as_written(self):
        out = self.run_as_written(LEAKS)
        self.assertIn("\n137\n", out)
        # What the cause is called is a matter of the analyser's own tests: within a second chance has a part in it.
        self.assertRegex(out, r"\nVerdict: [a-z-]+ \(\w+\)\n  The kernel killed shop \(pid \d+\): the limit of 100.0 MiB was reached")
        self.assertRegex(out, r"\nProblem suspect 1 .*\n(  .*\n)*    Leak \(")
        # What the document shows still comes, in that order.
        rest = iter(heads(out))
        for head in heads(SECTION.search(document())[4]):
            self.assertIn(head, rest)

    def update(self):
        out = self.run_as_written(DEMO)
        paragraphs = out[out.index("inspect:"):].split("\n\n")
        suspect = next(text for text in paragraphs if text.startswith("Problem suspect 1 "))
        text = document()
        section = SECTION.search(text)
        with open(DOCUMENT, "w", encoding="utf-8") as file:
            file.write(text[:section.start(4)] + "\n...\n".join([paragraphs[0], suspect]) + "\n" + text[section.end(4):])


if __name__ == "__main__":
    if "--update" in sys.argv:
        case = FirstFiveMinutes("update")
        case.setUp()
        try:
            case.update()
        finally:
            case.doCleanups()
    else:
        harness.main()
