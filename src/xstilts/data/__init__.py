"""Bytes to rows: readers of the published formats. Pure, no torch; a bad row raises ``DataError`` with ``file:line``."""
