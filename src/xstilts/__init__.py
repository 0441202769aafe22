"""Which English intermediate task, on which model, buys how much zero-shot quality in 40 languages."""

from importlib.metadata import version

__version__ = version("xstilts")
