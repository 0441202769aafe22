"""One self-contained page about a store: every number with where it comes from, readable without a network or a script."""
