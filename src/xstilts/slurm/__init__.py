"""A study as jobs of Slurm: each is an ordinary run of the same command, and they meet in the store.

There is no driver to keep alive: a job takes what nobody else has claimed. Before its time is up Slurm signals it; its
trainings save, it leaves, and it is queued again until the study is done. The command that queues them only follows.
"""
