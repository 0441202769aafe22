"""Official scores: pure functions from golds and predictions to numbers from 0 to 100."""
