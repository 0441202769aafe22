"""A small server that speaks the hub's protocol on 127.0.0.1: enough of it for ``huggingface_hub`` and ``datasets``.

Repositories are folders of bytes with commits and branches. Large files (parquet, safetensors) are answered as the hub
does: a redirect to another place, with their sha-256 as ETag. Faults are injected by a part of the address, and every
request is noted.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["models", "datasets"]
Fault = Literal["503", "404", "truncated", "other bytes", "wrong length", "slow", "closed"]
_LARGE = (".parquet", ".safetensors")
_ADDRESS = re.compile(r"/(?P<kind>datasets/)?(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<id>[^/]+/[^/]+)(?:/(?P<verb>revision|tree|paths-info)/(?P<rest>.+))?"
)


@dataclass
class Repository:
    """Commits by sha, branches by name, and whether one must ask for access."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def sha(self, revision: str) -> str | None:
        """The commit that a branch or a sha names."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class Hub:
    """The repositories, the faults still to come, and the requests that came."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[Kind, str], Repository] = {}
        self.faults: list[tuple[str, Fault, int]] = []
        self.requests: list[str] = []
        self.ranges: list[str] = []
        self.tokens: set[str] = set()
        self.url = self.elsewhere = ""  # the hub, and the host that holds its large files
        self.lock = threading.Lock()

    def forget(self) -> None:
        """Hold nothing, fail at nothing, remember no request."""
        for held in (self.repositories, self.faults, self.requests, self.ranges, self.tokens):
            held.clear()

    def commit(self, kind: Kind, identity: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Put these files as the newest commit of a branch; its sha."""
        seen = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        sha = hashlib.sha1(json.dumps([identity, branch, seen], sort_keys=True).encode()).hexdigest()
        repository = self.repositories.setdefault((kind, identity), Repository())
        repository.commits[sha] = dict(files)
        repository.branches[branch] = sha
        return sha

    def fail(self, part: str, fault: Fault, times: int = 1) -> None:
        """The next ``times`` downloads (GET) whose address holds ``part`` go wrong; -1 is always, HEAD included."""
        self.faults.append((part, fault, times))

    def next_fault(self, method: str, address: str) -> Fault | None:
        """The fault of this request, counted down."""
        with self.lock:
            for k, (part, fault, times) in enumerate(self.faults):
                if part in address and times and (method == "GET" or times < 0 or fault == "wrong length"):
                    self.faults[k] = (part, fault, times - 1 if times > 0 else times)
                    return fault
        return None

    @contextmanager
    def serving(self) -> Iterator[Hub]:
        """Answer on a free port of this machine until the end of the block."""
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        port = server.server_address[1]
        self.url, self.elsewhere = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: requests are noted in ``Hub.requests``."""

    def do_GET(self) -> None:
        """A file, the tree, or what is known of a repository."""
        self._answer("GET")

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self._answer("HEAD")

    def do_POST(self) -> None:
        """``paths-info``."""
        length = int(self.headers.get("Content-Length") or 0)
        self._answer("POST", self.rfile.read(length))

    def _answer(self, method: str, body: bytes = b"") -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{method} {path}")
        self.hub.ranges.append(self.headers.get("Range") or "")
        self.hub.tokens.add(self.headers.get("Authorization") or "")
        fault = self.hub.next_fault(method, self.path)
        if fault == "slow":
            time.sleep(0.5)
        if fault == "closed":
            self.close_connection = True
            return
        if fault in ("503", "404"):
            self._send(int(fault), b"", {})
        elif path.startswith("/stored/"):
            self._stored(path.removeprefix("/stored/"), fault)
        elif found := _ADDRESS.fullmatch(urlsplit(self.path).path):
            self._file(found, fault)
        elif found := _API.fullmatch(path):
            self._api(found, body)
        else:
            self._send(404, b"", {})

    def _repository(self, kind: Kind, identity: str) -> Repository | None:
        repository = self.hub.repositories.get((kind, identity))
        if repository is None:
            self._send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return None
        if repository.gated:
            self._send(401, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
            return None
        return repository

    def _file(self, found: re.Match[str], fault: Fault | None) -> None:
        repository = self._repository("datasets" if found["kind"] else "models", unquote(found["id"]))
        if repository is None:
            return
        sha = repository.sha(unquote(found["revision"]))
        if sha is None:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        name = unquote(found["path"])
        content = repository.commits[sha].get(name)
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
            return
        if name.endswith(_LARGE):
            digest = hashlib.sha256(content).hexdigest()
            size = len(content) + (7 if fault == "wrong length" else 0)
            headers = {"X-Repo-Commit": sha, "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(size)}
            self._send(302, b"", {**headers, "Location": f"{self.hub.elsewhere}/stored/{digest}"})
        else:
            self._content(content, {"X-Repo-Commit": sha, "ETag": f'"{git_digest(content)}"'}, fault)

    def _stored(self, digest: str, fault: Fault | None) -> None:
        for repository in self.hub.repositories.values():
            for files in repository.commits.values():
                for content in files.values():
                    if hashlib.sha256(content).hexdigest() == digest:
                        self._content(content, {"ETag": f'"{digest}"'}, fault)
                        return
        self._send(404, b"", {})

    def _content(self, content: bytes, headers: dict[str, str], fault: Fault | None) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        status, part = 200, content
        if asked and int(asked[1]) < len(content):
            start, end = int(asked[1]), int(asked[2] or len(content) - 1)
            status, part = 206, content[start : end + 1]
            headers["Content-Range"] = f"bytes {start}-{min(end, len(content) - 1)}/{len(content)}"
        if fault == "other bytes":
            part = bytes(byte ^ 1 for byte in part)
        self._send(status, part, {**headers, "Accept-Ranges": "bytes"}, cut=fault == "truncated")

    def _api(self, found: re.Match[str], body: bytes) -> None:
        kind: Kind = "models" if found["kind"] == "models" else "datasets"
        repository = self._repository(kind, found["id"])
        if repository is None:
            return
        encoded = urlsplit(self.path).path.split(f"/{found['verb']}/", 1)[-1] if found["verb"] else "main"
        revision, _, folder = encoded.partition("/")
        sha = repository.sha(unquote(revision))
        if sha is None:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        files = repository.commits[sha]
        if found["verb"] == "tree":
            deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in ("true", "1")
            self._tree(files, unquote(folder), deep)
        elif found["verb"] == "paths-info":
            asked = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
            wanted = asked["paths"] if isinstance(asked["paths"], list) else [asked["paths"]]
            entries = [e for p in wanted for e in _entries(files, p.strip("/"), only=True)]
            self._json(entries)
        else:
            siblings = [{"rfilename": name} for name in files]
            self._json({"id": found["id"], "sha": sha, "private": False, "siblings": siblings, "tags": []})

    def _tree(self, files: Mapping[str, bytes], folder: str, deep: bool) -> None:
        folder = folder.strip("/")
        entries = _entries(files, folder, deep=deep)
        if folder and not entries:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            self._json(entries)

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str], *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True


def git_digest(content: bytes) -> str:
    """The digest under which git keeps a small file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entries(
    files: Mapping[str, bytes], folder: str, *, deep: bool = False, only: bool = False
) -> list[dict[str, object]]:
    """What the tree listing says of a folder's files and folders, or (``only``) of this one path."""
    found: list[dict[str, object]] = []
    folders = sorted({"/".join(name.split("/")[:k]) for name in files for k in range(1, name.count("/") + 1)})
    for name in folders:
        parent = "/".join(name.split("/")[:-1])
        if (
            name == folder
            if only
            else (parent == folder or (deep and f"{name}/".startswith(f"{folder}/"[folder == "" :])))
        ):
            found.append({"type": "directory", "oid": hashlib.sha1(name.encode()).hexdigest(), "size": 0, "path": name})
    for name, content in files.items():
        parent = "/".join(name.split("/")[:-1])
        inside = not folder or name.startswith(f"{folder}/")
        if name == folder if only else (parent == folder or (deep and inside)):
            entry: dict[str, object] = {"type": "file", "oid": git_digest(content), "size": len(content), "path": name}
            if name.endswith(_LARGE):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
            found.append(entry)
    return found
