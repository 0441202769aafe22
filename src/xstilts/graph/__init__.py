"""A study as nodes: identity, the store, runs that may die at any time, workers. Knows nothing of models or tasks."""
