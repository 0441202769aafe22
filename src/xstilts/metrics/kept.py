"""What each row gives to a score, kept in a file: one compressed array a column, no objects."""

from __future__ import annotations

import lzma
import tokenize
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from xstilts.errors import PredictionError
from xstilts.metrics.additive import Contributions
from xstilts.outside import MOST_BYTES, open_plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_UNITS = "units"
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    AttributeError,
)
_DAMAGED += (BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError)  # type: ignore[assignment]
"""What ``zipfile`` and ``numpy`` raise for a file that is none of theirs."""


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
        with open_plain(path) as file, np.load(file, allow_pickle=False) as arrays:
            if sum(member.file_size for member in arrays.zip.infolist()) > MOST_BYTES:
                raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
            columns = {name: np.atleast_1d(arrays[name]) for name in arrays.files}
            units = columns.pop(_UNITS, None)
            values = {name: of.astype(np.float64).tolist() for name, of in columns.items()}
    except _DAMAGED as error:
        raise PredictionError(f"not a file of what rows give to a score: {error}", where=str(path)) from None
    lengths = {len(of) for of in (*values.values(), *([] if units is None else [units]))}
    if not values or len(lengths) != 1:
        raise PredictionError(f"columns of {sorted(lengths)} rows: one length is needed", where=str(path))
    return Contributions(values, None if units is None else units.astype(str).tolist())
