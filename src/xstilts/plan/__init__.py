"""A study becomes nodes: the specs and keys of every kind, before anything is computed and without torch."""

from xstilts.plan.plan import Cell, Checkpoint, Measured, Plan
from xstilts.plan.planner import FIXED_LAYER_SHARE, make_plan

__all__ = ["FIXED_LAYER_SHARE", "Cell", "Checkpoint", "Measured", "Plan", "make_plan"]
