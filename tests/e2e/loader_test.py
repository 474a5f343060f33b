"""Libraries that come and go, and programs that stand in for the loader."""

import os

import harness


class Loader(harness.Case):
    def check(self, *command):
        run = self.run_both(*command)
        self.assertEqual((run.status, run.out), (0, b"done\n"))
        report = self.report(self.recording(run.pid))
        self.assert_exact(report)
        return report

    def load_and_unload(self, threads, rounds):
        plugins = [harness.program(f"libplugin_{letter}.so") for letter in "AB"]
        report = self.check(harness.program("load_and_unload"), threads, rounds, *plugins)
        for plugin in plugins:
            inner = [site for site in report["sites"] if site["stack"] and site["stack"][0]["module"] == plugin]
            # By turns: each block by the library that was loaded, though the other was at the same address before.
            self.assertEqual(sum(site["live_allocations"] for site in inner), rounds // 2, plugin)
            self.assertEqual(sum(site["allocations"] for site in inner), rounds, plugin)

    def test_libraries_at_one_address(self):
        self.load_and_unload(0, 40)

    def test_libraries_while_others_allocate(self):
        self.load_and_unload(3, 200)

    def test_program_with_its_own_loader_functions(self):
        report = self.check(harness.program("own_loader_functions"))
        self.assertEqual(max(site["live_allocations"] for site in report["sites"]), 1000)

    def test_stacks_name_the_program(self):
        report = self.check(harness.program("own_loader_functions"))
        site = max(report["sites"], key=lambda entry: entry["live_allocations"])
        modules = [frame["module"] for frame in site["stack"]]
        self.assertEqual(modules[0], harness.program("own_loader_functions"))
        self.assertNotIn(os.path.basename(harness.LIBRARY), [os.path.basename(module or "") for module in modules])


if __name__ == "__main__":
    harness.main()
