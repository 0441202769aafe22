"""What others printed, as data, and why a number of ours is another one."""
