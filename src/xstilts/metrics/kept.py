"""What each row gives to a score, kept in a file: one compressed array a column, no objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from xstilts.errors import PredictionError
from xstilts.metrics.additive import Contributions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_UNITS = "units"


def write_contributions(path: Path, found: Contributions) -> None:
    """NumPy's ``.npz``: a column is an array of the smallest whole-number type that holds it, or of 64-bit floats."""
    import numpy as np

    arrays = {column: _smallest(values) for column, values in found.values.items()}
    if found.units is not None:
        arrays[_UNITS] = np.asarray(found.units, dtype=np.str_)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # columns by name, none of objects


def _smallest(values: Sequence[float]) -> NDArray[np.generic]:
    import numpy as np

    floats = np.asarray(values, dtype=np.float64)
    whole = floats.astype(np.uint32)
    return whole.astype(np.min_scalar_type(int(whole.max(initial=0)))) if np.array_equal(whole, floats) else floats


def read_contributions(path: Path) -> Contributions:
    """What ``write_contributions`` wrote.

    Raises:
        PredictionError: it is no such file.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        raise PredictionError(f"not a file of what rows give to a score: {error}", where=str(path)) from None
    units = columns.pop(_UNITS, None)
    lengths = {len(values) for values in columns.values()} | ({len(units)} if units is not None else set())
    if len(lengths) != 1:
        raise PredictionError(f"columns of {sorted(lengths)} rows: one length is needed", where=str(path))
    values = {name: values.astype(np.float64).tolist() for name, values in columns.items()}
    return Contributions(values, None if units is None else units.tolist())
