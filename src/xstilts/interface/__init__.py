"""What a notebook calls: models, studies, scores. The same functions lie below it as below the command line."""

from xstilts.interface.loaded import LoadedModel, load
from xstilts.interface.opened import OpenStudy, open_study, results
from xstilts.interface.shown import Ended, Planned, Tables
from xstilts.interface.submitted import score

__all__ = ["Ended", "LoadedModel", "OpenStudy", "Planned", "Tables", "load", "open_study", "results", "score"]
