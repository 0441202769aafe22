"""Talking to the hub: commits, files, rows. The only place where ``datasets`` is imported, and only when it is needed.

``datasets`` finds the files of a config and its features; ``huggingface_hub`` brings the files of the asked split into its
ordinary cache (``HF_HOME``), where half a file is never taken for a whole one; rows are then read from there, without a
second copy. What came is compared with its digest. Nothing that a repository holds is ever run.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from xstilts.errors import DataError, ModelError, XstiltsError
from xstilts.graph.disk import explain
from xstilts.hub.declared import Copy
from xstilts.hub.writing import Row
from xstilts.model_source import IDENTITY_FILES

WAITS: tuple[float, ...] = (1.0, 4.0)
"""Seconds before the second and the third try of what may pass: a busy hub, a broken connection."""
_ADDRESS = re.compile(r"hf://datasets/(?P<id>[^@]+)@(?P<revision>[^/]+)/(?P<path>.+)")
_T = TypeVar("_T")
Say = Callable[[str], None]


class Hub:
    """The hub, through its own clients.

    Args:
        say: told of every download and every new try.
    """

    def __init__(self, say: Say) -> None:
        self.say = say
        self._builder = cache(self._find_builder)

    def commit(self, kind: str, identity: str, revision: str) -> str:
        """The commit that a branch or tag of a repository names now.

        Args:
            kind: ``model`` or ``dataset``.
            identity: ``owner/name``.
            revision: a branch, tag or commit.
        """
        from huggingface_hub import HfApi

        if kind == "dataset":
            _datasets()  # without it no rows can be read: say so before the hub is asked anything

        def ask() -> str:
            sha = HfApi().repo_info(identity, repo_type=kind, revision=revision).sha
            if not sha:
                raise DataError(f"the hub names no commit for {revision!r}", where=identity)
            return str(sha)

        return self._try(ask, f"{identity} at {revision}", kind)

    def model(self, identity: str, revision: str) -> str:
        """Bring a model's configuration, weights and tokenizer into the cache; its full commit."""
        from huggingface_hub import snapshot_download

        def bring() -> str:
            patterns = list(IDENTITY_FILES)
            folder = Path(snapshot_download(identity, revision=revision, allow_patterns=patterns))
            for path in sorted(folder.iterdir()):
                _refuse_other_bytes(path)
            return folder.name

        self.say(f"model {identity} at {revision[:12]}")
        return self._try(bring, f"{identity} at {revision}", "model")

    def has_model(self, identity: str, revision: str) -> bool:
        """Whether a model that was brought before is still in the cache; no network is asked."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(identity, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            return False
        return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))

    def rows(self, copy: Copy, revision: str) -> Iterator[Row]:
        """The rows of one split at one commit, with class labels as names (``None`` where there is no gold)."""
        datasets = _datasets()
        builder = self._try(lambda: self._builder(copy.dataset, copy.config, revision), copy.address, "dataset")
        addresses = builder.config.data_files.get(copy.split) if builder.config.data_files else None
        if not addresses:
            there = sorted(map(str, builder.config.data_files or ()))
            raise DataError(f"no split {copy.split!r}; it has {there}", where=f"{copy.dataset} at {revision[:12]}")
        try:
            if copy.lines is not None:
                yield from self._pieces([str(address) for address in addresses], copy)
                return
            paths = [self._file(str(address), copy) for address in addresses]
            yield from _read(datasets, paths, copy, builder.info.features)
        except (ValueError, TypeError, OSError, datasets.exceptions.DatasetsError) as error:
            raise DataError(
                f"its parquet cannot be read: {_reason(error)}", where=f"{copy.address} at {revision[:12]}"
            ) from error

    def licence(self, dataset: str, revision: str) -> str:
        """The licence that the dataset's card says, or ``unknown``."""
        from huggingface_hub import errors, hf_hub_download
        from huggingface_hub.repocard import metadata_load

        def read() -> dict[str, Any]:
            try:
                card = hf_hub_download(dataset, "README.md", repo_type="dataset", revision=revision)
            except errors.EntryNotFoundError as error:
                if isinstance(error, errors.LocalEntryNotFoundError):
                    raise
                return {}
            return metadata_load(card) or {}

        told = self._try(read, f"{dataset}/README.md at {revision[:12]}", "dataset")
        found = told.get("license") or "unknown"
        names = ", ".join(map(str, found if isinstance(found, list) else [found]))
        return f"{names} ({told['license_name']})" if told.get("license_name") else names

    def _pieces(self, addresses: list[str], copy: Copy) -> Iterator[Row]:
        """Rows of the one column of text, file by file and one row group at a time: what is not asked for stays on the hub.

        Nothing of it is kept in the cache. A part of a file has no digest to be compared with; checksums of pages are
        compared where the file has any.
        """
        from huggingface_hub import HfFileSystem
        from pyarrow.parquet import ParquetFile

        (column,) = copy.columns
        for address in addresses:
            what = f"{copy.dataset}/{self._on_the_hub(address, copy)[2]}"

            def start(of: str = address) -> Any:
                return ParquetFile(HfFileSystem().open(of, "rb"), page_checksum_verification=True)

            file = self._try(start, what, "dataset")
            if column not in file.schema_arrow.names:
                raise DataError(f"no column {column!r}; it has {sorted(file.schema_arrow.names)}", where=copy.address)
            for group in range(file.num_row_groups):
                read = partial(file.read_row_group, group, columns=[column], use_threads=False)
                yield from self._try(read, what, "dataset").to_pylist()

    def _find_builder(self, dataset: str, config: str | None, revision: str) -> Any:
        """What ``datasets`` knows of one config: its files by split and its features."""
        builder = _datasets().load_dataset_builder(dataset, config, revision=revision)
        if not builder.name or "parquet" not in type(builder).__module__:
            raise DataError(f"the rows are not kept as parquet but as {builder.name}", where=dataset)
        return builder

    def _file(self, address: str, copy: Copy) -> str:
        """One file of a dataset in the hub's cache, downloaded if it is not there."""
        from huggingface_hub import hf_hub_download

        identity, revision, name = self._on_the_hub(address, copy)

        def bring() -> str:
            path = hf_hub_download(identity, name, repo_type="dataset", revision=revision)
            _refuse_other_bytes(Path(path))
            return path

        return self._try(bring, f"{identity}/{name} at {revision[:12]}", "dataset")

    @staticmethod
    def _on_the_hub(address: str, copy: Copy) -> tuple[str, str, str]:
        """Repository, revision and name of a file; a dataset whose files lie elsewhere is refused."""
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise DataError(f"the file {address!r} does not lie on the hub", where=copy.address)
        return found["id"], found["revision"], found["path"]

    def _try(self, action: Callable[[], _T], what: str, kind: str) -> _T:
        """Do it, again after a while where that may help; else one clear error."""
        for wait in (*WAITS, None):
            try:
                return action()
            except XstiltsError:
                raise
            except Exception as error:
                told = _final(error, what, kind)
                if told is not None:
                    raise told from error
                if not _may_pass(error):
                    raise
                if wait is None:
                    raise _failed(
                        kind,
                        f"cannot get it from the hub after {len(WAITS) + 1} tries: {_reason(error)}",
                        what,
                        "check the network and run the same command again: what is complete is kept",
                    ) from error
                self.say(f"{what}: {_reason(error)}; trying again in {wait:g} s")
                time.sleep(wait)
        raise AssertionError("the last try returns or raises")


def _read(datasets: Any, paths: list[str], copy: Copy, told: Any) -> Iterator[Row]:
    """The declared columns of local parquet files; ``told`` are the features that the dataset's card tells."""
    found = datasets.load_dataset("parquet", data_files={"rows": paths}, split="rows", streaming=True)
    features = told or found.features or {}
    if absent := [column for column in copy.columns if column not in features]:
        raise DataError(f"no column {absent[0]!r}; it has {sorted(features)}", where=copy.address)
    names = {column: _names(features[column]) for column in copy.columns}
    for row in found.select_columns(list(copy.columns)):
        yield {column: _named(row[column], names[column], column) for column in copy.columns}


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"the library 'datasets' cannot be imported: {error}", hint="pip install 'xstilts[hub]'"
        ) from None
    datasets.disable_progress_bars()
    return datasets


class _OtherBytesError(OSError):
    """What came is not what its digest says."""


def _refuse_other_bytes(path: Path) -> None:
    """Compare a file of the hub's cache with its digest, which is the name of its blob; a wrong one is removed."""
    blob = path.resolve()
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.name) or blob.name == path.name:
        return  # a cache without links keeps no digests
    algorithm = "sha256" if len(blob.name) == 64 else "sha1"
    digest = hashlib.new(algorithm)
    if algorithm == "sha1":  # git puts a header before a small file
        digest.update(b"blob %d\0" % blob.stat().st_size)
    with blob.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    if digest.hexdigest() != blob.name:
        blob.unlink()
        path.unlink(missing_ok=True)
        raise _OtherBytesError(f"the bytes of {path.name} do not have the digest that the hub names")


def _names(feature: Any) -> list[str] | None:
    """The names of a column of class labels, alone or in lists."""
    inner = getattr(feature, "feature", None)
    names = getattr(feature if inner is None else inner, "names", None)
    return None if names is None else list(names)


def _named(value: Any, names: list[str] | None, column: str) -> Any:
    if names is None or value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_named(v, names, column) for v in value]
    if value == -1:
        return None
    if not 0 <= value < len(names):
        raise DataError(f"{column!r}: label {value} is none of {names}")
    return names[value]


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _final(error: Exception, what: str, kind: str) -> XstiltsError | None:
    """The clear error for what no second try mends; ``None`` for the rest."""
    from huggingface_hub import errors

    if (disk := explain(error, Path())) is not None:
        return disk
    for link in _chain(error):
        if isinstance(link, errors.GatedRepoError):
            hint = "ask for access on its page, then log in (hf auth login) or set HF_TOKEN"
            return _failed(kind, "access is restricted by its owners (gated)", what, hint)
        if isinstance(link, errors.RepositoryNotFoundError):
            hint = "check the id; if it is private, log in (hf auth login) or set HF_TOKEN"
            return _failed(kind, "the hub knows no such repository, or does not show it to you", what, hint)
        if isinstance(link, errors.RevisionNotFoundError):
            return _failed(kind, "there is no such revision", what, "check the revision")
        if isinstance(link, errors.OfflineModeIsEnabled):
            return _failed(kind, "not in the cache, and the network is off", what, "unset HF_HUB_OFFLINE to fetch it")
        if isinstance(link, errors.HFValidationError):
            return _failed(kind, str(link), what, "an id is owner/name")
        if isinstance(link, errors.EntryNotFoundError) and not isinstance(link, errors.LocalEntryNotFoundError):
            return _failed(kind, f"a file is missing on the hub: {_reason(link)}", what, "")
    if isinstance(error, RuntimeError) and "scripts are no longer supported" in str(error):
        hint = "take the files from where they were published: xstilts data check says where"
        return _failed(kind, "it is a loading script, and code from the hub is never run", what, hint)
    if isinstance(error, ValueError) and "BuilderConfig" in str(error):
        return _failed(kind, str(error)[:300], what, "")
    return None


def _failed(kind: str, problem: str, where: str, hint: str) -> XstiltsError:
    return (ModelError if kind == "model" else DataError)(problem, where=where, hint=hint)


def _may_pass(error: Exception) -> bool:
    """Whether it is the network or the hub that failed, and not this program."""
    return any(isinstance(link, OSError) or type(link).__module__.startswith("httpx") for link in _chain(error))


def _reason(error: BaseException) -> str:
    """The first line of what lies at the root."""
    deepest = list(_chain(error))[-1]
    for link in (error, deepest):
        status = getattr(getattr(link, "response", None), "status_code", None)
        if status is not None:
            return f"the hub answers {status}"
    text = str(deepest).strip() or str(error).strip()
    return text.splitlines()[0] if text else type(deepest).__name__
