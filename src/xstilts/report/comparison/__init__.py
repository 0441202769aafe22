"""Arms compared with a baseline arm: differences with intervals, corrected for how many there are."""
