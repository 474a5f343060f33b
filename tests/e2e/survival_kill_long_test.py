"""As survival_kill_test.py, 200 times."""

import harness
from survival_kill_test import Killed

Killed.runs = 200

if __name__ == "__main__":
    harness.main()
