"""As sampling_test.py, over 200 seeds."""

import harness
from sampling_test import Sampling

Sampling.seeds = 200
Sampling.coverage = (0.93, 0.97)  # 1400 site-runs: three standard errors and a little

if __name__ == "__main__":
    harness.main()
