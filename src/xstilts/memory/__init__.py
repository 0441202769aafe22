"""What a node will hold in memory, from arithmetic alone: told by a plan, and asked before each node runs. No torch here."""
