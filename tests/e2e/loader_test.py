"""Libraries that come and go, and programs that stand in for the loader."""

import os

import harness


class Loader(harness.Case):
    def load_and_unload(self, threads, rounds):
        plugins = [harness.program(f"libplugin_{letter}.so") for letter in "AB"]
        report = self.report_of_both(harness.program("load_and_unload"), threads, rounds, *plugins)
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
        report = self.report_of_both(harness.program("own_loader_functions"))
        self.assertEqual(max(site["live_allocations"] for site in report["sites"]), 1000)

    def test_stacks_name_the_program(self):
        report = self.report_of_both(harness.program("own_loader_functions"))
        site = max(report["sites"], key=lambda entry: entry["live_allocations"])
        modules = [frame["module"] for frame in site["stack"]]
        self.assertEqual(modules[0], harness.program("own_loader_functions"))
        self.assertNotIn(os.path.basename(harness.LIBRARY), [os.path.basename(module or "") for module in modules])

    def test_deep_binding_and_origin(self):
        """A library bound to libc itself: its calls pass by, and nothing of what the program asked for is changed. A block that
        was freed unseen is forgotten when its address is given out again."""
        report = self.report_of_both(harness.program("deep_binding"), harness.program("libmaker_user.so"))
        self.assertEqual(sum(site["live_allocations"] for site in report["sites"] if site["live_bytes"] == 150_000), 500)
        self.assertLess(report["totals"]["live_allocations"], 600)

    def test_thread_locals_of_libraries(self):
        report = self.report_of_both(harness.program("thread_locals_of_libraries"), 8, 50, harness.program("libthread_local_plugin.so"))
        self.assertLess(report["totals"]["live_allocations"], 100)
        self.assertGreater(report["totals"]["allocations"], 8 * 50 * 3)

    def test_allocation_and_exit_under_the_loader_lock(self):
        for how in ("return", "exit", "_exit"):
            with self.subTest(how=how):
                run = self.run_both(harness.program("under_loader_lock"), how)
                self.assertEqual(run.status, 5)
                report = self.report(self.recording(run.pid))
                self.assert_nothing_dropped(report)
                self.assertEqual(max(site["live_allocations"] for site in report["sites"]), 1000)

    def test_no_library_is_loaded_for_us(self):
        """Neither at the start nor by the first unwinding or a snapshot."""
        bare, recorded = (set(self.run_program("/bin/sh", "-c", "cat /proc/self/maps", preload=preload).out.decode().split())
                          for preload in (False, True))
        new = {word for word in recorded - bare if word.startswith("/") and not word.endswith(".rec")}
        self.assertEqual(new, {harness.LIBRARY})

    def test_c_program_is_charged_nothing(self):
        """No C++ run-time library comes with us, whose emergency pool would be booked to the program."""
        totals = self.report_of(harness.program("fork_once"), "nothing")["totals"]
        self.assertEqual(totals["live_bytes"], 100 * 1000 + 123)


if __name__ == "__main__":
    harness.main()
