"""Runs here are small: a second thread would only wait for the first."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
