"""Intervals, tests and percentiles of measured numbers: numpy and scipy, no torch, nothing of ours but the errors."""
