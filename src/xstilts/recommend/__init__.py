"""Which intermediate task first? Ranked for a target from what a store holds and from short probes."""
