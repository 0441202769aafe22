"""Which English intermediate task, on which model, buys how much zero-shot quality in 40 languages.

In Python: ``load`` a model, ``open_study``, ``results`` of a store, ``score`` a submission (see ``xstilts.interface``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xstilts.interface import LoadedModel, OpenStudy, Tables, load, open_study, results, score

__version__: str
__all__ = ["LoadedModel", "OpenStudy", "Tables", "load", "open_study", "results", "score"]


def __getattr__(name: str) -> Any:
    """``__version__`` and the interface, looked up when they are asked for: what finds them is slow to import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("xstilts")
    if name in __all__:
        from xstilts import interface

        return getattr(interface, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
