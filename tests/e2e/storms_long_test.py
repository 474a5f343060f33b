"""The storms in full: 30 seconds each, 900 kills in 33,000 instructions."""

import harness
import storms_test


class Signals(storms_test.Signals):
    seconds = 30


class Libraries(storms_test.Libraries):
    rounds = 3000


class Steps(storms_test.Steps):
    stride, first, count = 37, 1, 900


if __name__ == "__main__":
    harness.main()
