"""What was measured, beside the scores of the same configurations: the impact page, the choice of a model, one model."""
