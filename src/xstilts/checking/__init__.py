"""What a data folder holds, against what was published: ``check_folder`` looks, ``render`` shows."""

from xstilts.checking.check import check_folder
from xstilts.checking.findings import Report
from xstilts.checking.render import render

__all__ = ["Report", "check_folder", "render"]
