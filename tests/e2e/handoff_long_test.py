"""The same as handoff_test.py for 10^8 events: minutes."""

import handoff_test
import harness


class LongHandoff(handoff_test.Handoff):
    rounds = 6_250_000
    test_eight_threads_under_musl = None  # its malloc has one lock: hours


if __name__ == "__main__":
    harness.main()
