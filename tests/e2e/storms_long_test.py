"""The storms in full: 30 seconds each, a kill after every instruction."""

import harness
import storms_test


class Signals(storms_test.Signals):
    seconds = 30


class Libraries(storms_test.Libraries):
    rounds = 3000


class Steps(storms_test.Steps):
    stride, first, count = 3, 1, 6000


if __name__ == "__main__":
    harness.main()
