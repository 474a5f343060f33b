"""The page of --html in a browser that has no network: what it shows, that it can be used, and that it cannot be abused."""

import json
import os
import re
import signal
import subprocess

import browser
import harness

LARGEST_PAGE = 2 << 20
# Names as nobody should give them to a program and its functions.
HOSTILE = "<img src=x onerror=document.title='owned'>"
HOSTILE_FUNCTIONS = {"Leak": "</script><script>document.title='owned'</script>", "Serve": HOSTILE + "%s%n\x1b[31m\u202e"}


class Page(harness.Case):
    @classmethod
    def setUpClass(cls):
        if not browser.CHROMIUM:
            raise AssertionError("there is no chromium: scripts/setup installs it")
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.__exit__)

    def setUp(self):
        super().setUp()
        self.browser.console.clear()
        self.browser.colours("light")
        self.browser.resize(1280, 900)

    def write_page(self, *arguments, status=0):
        path = os.path.join(self.root, "page.html")
        done = subprocess.run([harness.REPORT, f"--html={path}", *arguments], capture_output=True, timeout=harness.TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertLessEqual(os.path.getsize(path), LARGEST_PAGE)
        return path

    def record(self, mode):
        hostile = os.path.join(self.work, HOSTILE)
        names = [f"--redefine-sym={function}={name}" for function, name in HOSTILE_FUNCTIONS.items()]
        subprocess.run(["objcopy", "--strip-debug", *names, harness.program("leak_or_tree"), hostile], check=True)
        self.assertEqual(self.run_program(hostile, mode).status, 0)

    def open(self, path, fragment=""):
        self.browser.open(path, fragment)
        self.assertEqual(self.browser.evaluate("document.documentElement.dataset.ready"), "true", self.browser.console)

    def text(self, selector):
        return self.browser.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent).join('\\n')")

    def assert_clean(self, path):
        """No complaint on the console, no request but for the file, nothing that a name made happen."""
        self.assertEqual(self.browser.console, [])
        self.assertEqual([url for url in self.browser.requests if url != "file://" + path], [])
        self.assertNotIn("owned", self.browser.evaluate("document.title.replace(/document.title='owned'/g, '')"))
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('img, iframe, object, link, script[src]').length"), 0)

    # --- Tests ---

    def test_shows_the_leak_and_hostile_names_as_text(self):
        self.record("leak")
        path = self.write_page(self.recordings)
        self.open(path)
        self.assertIn("Native memory leak", self.text("#verdict"))
        suspect = self.text("#suspects article")
        self.assertIn("Problem suspect 1", suspect)
        self.assertIn(HOSTILE_FUNCTIONS["Leak"], suspect)
        self.assertIn(HOSTILE, self.text("h1"))
        self.assertNotRegex(self.browser.evaluate("document.body.innerText"), "[\x1b\u202e]")
        self.assertGreaterEqual(self.browser.evaluate("document.querySelectorAll('#timeline .snapshot').length"), 1)
        self.assertGreater(self.browser.evaluate("document.querySelectorAll('#suspects .alive').length"), 0)
        self.assert_clean(path)

    def test_the_flame_graph_is_drawn_searched_and_zoomed(self):
        self.record("leak")
        path = self.write_page(self.recordings)
        self.open(path)
        colours = self.browser.evaluate("""(() => {
            const canvas = document.querySelector('canvas');
            const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const seen = new Set();
            for (let i = 0; i < pixels.length; i += 4) seen.add(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
            return seen.size; })()""")
        self.assertGreater(colours, 10)
        # Search: what matches, in bytes.
        self.browser.evaluate("document.querySelector('#flame input').focus()")
        self.browser.type("LoadTable")
        self.assertRegex(self.text("#flame output"), r"^1\.0 MiB matched, \d+ %$")
        self.assertIn("search=LoadTable", self.browser.evaluate("location.hash"))
        # Zoom: one click on the second row, which then spans the width; Escape goes back.
        self.browser.evaluate("document.querySelector('canvas').scrollIntoView({behavior: 'instant', block: 'center'})")
        self.browser.settle()
        box = self.browser.evaluate("(() => { const r = document.querySelector('canvas').getBoundingClientRect(); return [r.x, r.y]; })()")
        self.browser.move(box[0] + 20, box[1] + 19 * 1.5)
        self.assertIn("with callees", self.text(".tooltip"))
        self.browser.click(box[0] + 20, box[1] + 19 * 1.5)
        self.assertRegex(self.browser.evaluate("location.hash"), r"zoom=\d+")
        zoomed = self.text(".flame-details b")
        self.assertNotEqual(zoomed, "all")
        self.browser.evaluate("document.querySelector('canvas').focus()")
        self.browser.key("ArrowDown")
        self.assertNotEqual(self.text(".flame-details b"), zoomed)
        # Each Escape goes one level out, from whatever row was under the pointer.
        before = self.browser.evaluate("location.hash")
        while "zoom=" in before:
            self.browser.key("Escape")
            after = self.browser.evaluate("location.hash")
            self.assertNotEqual(after, before)
            before = after
        # The state in the address is what a colleague sees who opens it.
        self.open(path, "#metric=allocated&view=inverted&search=Serve")
        self.assertEqual(self.text("#flame [aria-checked=true]"), "Allocated")
        self.assertEqual(self.text("#flame [aria-pressed=true]"), "Inverted")
        self.assert_clean(path)

    def test_the_table_sorts_filters_and_opens_stacks(self):
        self.record("leak")
        path = self.write_page(self.recordings)
        self.open(path)
        first = "document.querySelector('.sites tbody tr').textContent"
        self.assertIn("LoadTable" if "LoadTable" in self.text(".sites tbody") else "</script>", self.browser.evaluate(first))
        self.browser.evaluate("[...document.querySelectorAll('.sites th button')].find((b) => b.textContent === 'Temporary').click()")
        self.assertIn("onerror", self.browser.evaluate(first))  # Serve frees at once
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('.sites th[aria-sort=descending]').length"), 1)
        self.browser.evaluate("document.querySelector('.sites .name').click()")
        self.assertIn("main", self.text(".stack-row"))
        self.browser.evaluate("document.querySelector('#sites input').focus()")
        self.browser.type("no such site")
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('.sites tbody tr').length"), 0)
        self.assert_clean(path)

    def test_the_difference_from_a_baseline(self):
        self.record("leak")
        snapshot, = self.files(".snap")
        recording, = self.files(".rec")
        path = self.write_page(f"--baseline={snapshot}", recording)
        self.open(path)
        self.assertEqual(self.text("#flame [aria-checked=true]"), "Difference")
        self.assertRegex(self.text("#baseline"), r"New since then\s*\d")
        colours = self.browser.evaluate("""(() => {
            const canvas = document.querySelector('canvas');
            const more = getComputedStyle(document.documentElement).getPropertyValue('--more').trim();
            const wanted = [1, 3, 5].map((at) => parseInt(more.slice(at, at + 2), 16)).join();
            const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let count = 0;
            for (let i = 0; i < pixels.length; i += 4) count += [pixels[i], pixels[i + 1], pixels[i + 2]].join() === wanted;
            return count; })()""")
        self.assertGreater(colours, 100)  # what leaked since then, in orange
        self.assert_clean(path)

    def test_lost_blocks(self):
        process = self.start(harness.program("lost_blocks"), env={"MEMTRACE_REACHABILITY": "1"}, stdin=subprocess.PIPE)
        self.await_line(process)
        process.send_signal(signal.SIGUSR2)
        harness.wait_until(lambda: self.files(".snap") and self.report(*self.files(".snap"))["recording"]["reachability"]["state"] == "done",
                           what="the end of the search")
        path = self.write_page("--top=0", *self.files(".snap"))
        self.open(path)
        self.assertRegex(self.text("#verdict .tile"), r"Lost for certain299\.5 KiB18 blocks")
        self.assertIn("it stood still for", self.text("#recording"))
        self.browser.evaluate("[...document.querySelectorAll('.sites th button')].find((b) => b.textContent === 'Lost').click()")
        self.assertIn("LoseLarge", self.browser.evaluate("document.querySelector('.sites tbody tr').textContent"))
        self.browser.evaluate("[...document.querySelectorAll('#flame [role=radio]')].find((b) => b.textContent === 'Lost').click()")
        self.assertEqual(self.browser.evaluate("location.hash"), "#metric=lost")
        self.assert_clean(path)

    def test_dark_narrow_and_on_paper(self):
        self.record("leak")
        path = self.write_page(self.recordings)
        self.browser.colours("dark")
        self.browser.resize(400, 800)
        self.open(path)
        light = "(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g); return r / 1 + g / 1 + b / 1; })()"
        self.assertLess(self.browser.evaluate(light), 200)
        self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), 400)
        self.browser.key("t", "t")
        self.assertGreater(self.browser.evaluate(light), 600)
        self.assertTrue(self.browser.pdf().startswith(b"%PDF"))
        self.assert_clean(path)

    def test_a_large_input_stays_small_and_whole(self):
        self.record("wide")
        report = self.report(symbols=True)
        self.assertGreaterEqual(len(report["sites"]), 32768)
        path = self.write_page(self.recordings)
        self.open(path)
        shown = self.browser.evaluate("data.tree.self[0].reduce((sum, value) => sum + value, 0)")
        self.assertEqual(shown, report["totals"]["live_bytes"])
        self.assertIn("smallest are in the sums", self.text("#sites"))
        self.assert_clean(path)

    def test_without_scripts_there_is_a_table(self):
        self.record("leak")
        path = self.write_page(self.recordings)
        with open(path, encoding="utf-8") as file:
            page = file.read()
        fallback = re.search("<noscript>(.*?)</noscript>", page, re.DOTALL).group(1)
        self.assertIn("Problem suspect 1", fallback)
        self.assertIn("&lt;/script&gt;", fallback)
        self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
        try:
            self.browser.open(path)
        finally:
            self.browser.call("Emulation.setScriptExecutionDisabled", value=False)
        self.assertGreater(self.browser.evaluate("document.querySelectorAll('noscript table tr').length"), 2)


if __name__ == "__main__":
    harness.main()
