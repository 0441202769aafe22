"""Measuring inference: scenarios in MLPerf's words, without torch where the clock is read."""
