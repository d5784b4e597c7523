"""An HTTP server that speaks the hub's protocol as huggingface_hub 2.4 uses it, and that fails or lies on request.

Two ports, as in life: the hub itself, and a storage host that large files are redirected to. So it shows whether a
token leaks to another host, and whether a resumed transfer asks for the right range of the right file.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".parquet", ".gz", ".zst")
API = re.compile(r"^/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info|refs)(?:/([^/]+)(?:/(.+))?)?)?$")
RESOLVE = re.compile(r"^/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")
SMALL = re.compile(r"^/api/resolve-cache/(models|datasets)/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)$")
STORED = re.compile(r"^/stored/([0-9a-f]{64})$")


@dataclass(frozen=True)
class Recorded:
    """A large file of which the listing alone is known: size (bytes) and digest. There is nothing to fetch."""

    size: int
    sha256: str


def blob_id(content: bytes | Recorded) -> str:
    """git's name of a blob."""
    if isinstance(content, Recorded):
        return content.sha256[:40]
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """Branches that point to commits, commits that hold files."""

    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes | Recorded]] = field(default_factory=dict)
    gated: bool = False
    private: bool = False

    def commit(self, branch: str, files: dict[str, bytes | Recorded]) -> str:
        """Put ``files`` on ``branch`` as one commit; its name follows from branch and content."""
        digest = hashlib.sha1(branch.encode())
        for path, content in sorted(files.items()):
            digest.update(path.encode() + b"\0" + blob_id(content).encode())
        self.commits[digest.hexdigest()] = files
        self.branches[branch] = digest.hexdigest()
        return digest.hexdigest()


@dataclass
class Fault:
    """What goes wrong with the next ``times`` GET requests whose path or file matches ``pattern``.

    ``kind`` is a status code, or "cut" (close half way), "wrong byte" (flip a bit), "stall" (send half, then nothing),
    "drip" (a byte at a time, a tenth of a second each), "endless" (bytes and no end), "loop" (a redirect to itself).
    """

    pattern: str
    kind: int | str
    times: int = 1


@dataclass(frozen=True)
class Lie:
    """What an answer to a path that matches ``pattern`` is turned into: its JSON by ``edit``, its headers overlaid.

    ``edit`` returns what is sent instead, or bytes that are sent as they are.
    """

    pattern: str
    edit: Callable[[Any], Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One request as the server saw it; ``file`` is the path in the repository where it is known."""

    host: str
    method: str
    path: str
    file: str
    range: str | None
    authorization: str | None


class Hub:
    """The running server; use it as a context manager. ``endpoint`` is what HF_ENDPOINT should be."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.tokens = {"hf_member": True, "hf_stranger": False}
        self.faults: list[Fault] = []
        self.lies: list[Lie] = []
        self.requests: list[Request] = []
        self.stalled = threading.Event()
        self._stored: dict[str, tuple[str, bytes]] = {}
        self._lock = threading.Lock()
        self._servers = [self._listen("hub"), self._listen("storage")]
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> "Hub":
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.stalled.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def model(self, name: str) -> Repository:
        return self.repositories.setdefault(("models", name), Repository())

    def dataset(self, name: str) -> Repository:
        return self.repositories.setdefault(("datasets", name), Repository())

    def fail(self, pattern: str, kind: int | str, times: int = 1) -> None:
        self.faults.append(Fault(pattern, kind, times))

    def lie(self, pattern: str, edit: Callable[[Any], Any] | None = None, **headers: str) -> None:
        """Answer paths that match with what ``edit`` makes of the JSON, and with ``headers`` (_ for -)."""
        self.lies.append(Lie(pattern, edit, {name.replace("_", "-"): value for name, value in headers.items()}))

    def fetched(self, pattern: str) -> list[Request]:
        """The GET requests whose path or file matches."""
        return [r for r in self.requests if r.method == "GET" and re.search(pattern, f"{r.path} {r.file}")]

    def _listen(self, host: str) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self, "host": host}))
        server.daemon_threads = True
        return server

    def _fault(self, path: str, file: str) -> int | str | None:
        with self._lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, f"{path} {file}"):
                    fault.times -= 1
                    return fault.kind
        return None


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection. Refusals carry the headers that huggingface_hub tells its errors by."""

    hub: Hub
    host: str
    protocol_version = "HTTP/1.1"
    # Header and body are sent apart: without this every answer waits 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        stored = STORED.match(parts.path)
        file = self.hub._stored[stored[1]][0] if stored else ""
        asked = {name: self.headers.get(name) for name in ("Range", "Authorization")}
        self.hub.requests.append(
            Request(self.host, self.command, parts.path, file, asked["Range"], asked["Authorization"])
        )
        self.fault = self.hub._fault(parts.path, file) if self.command == "GET" else None
        self.lies = [lie for lie in self.hub.lies if re.search(lie.pattern, parts.path)]
        if isinstance(self.fault, int):
            return self._refuse(self.fault, "")
        if self.fault == "loop":
            return self._send(302, b"", {"Location": self.path})
        if self.host == "storage":
            return self._content(self.hub._stored[stored[1]][1], {}) if stored else self._refuse(404, "")
        if match := API.match(parts.path):
            kind, name, view, revision, path = match.groups()
            return self._api(kind, name, view, unquote(revision or "main"), unquote(path or ""))
        if match := RESOLVE.match(parts.path):
            kind, name, revision, path = match.groups()
            return self._resolve(kind or "models", name, unquote(revision), unquote(path))
        if match := SMALL.match(parts.path):
            kind, name, commit, path = match.groups()
            content = self.hub.repositories[kind, name].commits[commit][unquote(path)]
            return self._content(content, {"ETag": f'"{blob_id(content)}"', "X-Repo-Commit": commit})
        return self._refuse(404, "")

    def _repository(self, kind: str, name: str, revision: str, *, content: bool) -> tuple[Repository, str] | None:
        """The repository and the commit that ``revision`` means, or None when a refusal was sent."""
        repository = self.hub.repositories.get((kind, name))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.hub.tokens:
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        if repository is None or (repository.private and not token):
            return self._refuse(404 if token else 401, "RepoNotFound", "Repository not found")
        if repository.gated and content and not self.hub.tokens.get(token):
            return self._refuse(403 if token else 401, "GatedRepo", "Access is restricted")
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, commit

    def _api(self, kind: str, name: str, view: str | None, revision: str, path: str) -> None:
        found = self._repository(kind, name, "main" if view == "refs" else revision, content=False)
        if found is None:
            return
        repository, commit = found
        files = repository.commits[commit]
        if view == "refs":
            refs = [{"name": b, "ref": f"refs/heads/{b}", "targetCommit": c} for b, c in repository.branches.items()]
            self._json({"branches": refs, "converts": [], "tags": []})
        elif view == "tree":
            self._json(_tree(files, path, recursive=self.query.get("recursive", ["false"])[0].lower() == "true"))
        elif view == "paths-info":
            self._json([_entry(p, files[p]) for p in self.form.get("paths", []) if p in files])
        else:
            siblings = [_sibling(p, c, blobs="blobs" in self.query) for p, c in sorted(files.items())]
            self._json({"id": name, "sha": commit, "private": repository.private, "siblings": siblings, "tags": []})

    def _resolve(self, kind: str, name: str, revision: str, path: str) -> None:
        found = self._repository(kind, name, revision, content=True)
        if found is None:
            return
        repository, commit = found
        content = repository.commits[commit].get(path)
        if content is None:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(content))}
        if path.endswith(LARGE):
            digest = hashlib.sha256(content).hexdigest()
            self.hub._stored[digest] = (path, content)
            headers |= {"X-Linked-ETag": f'"{digest}"', "Location": f"{self.hub.storage}/stored/{digest}"}
            return self._send(302, b"", headers)
        headers |= {"X-Linked-ETag": f'"{blob_id(content)}"'}
        headers |= {"Location": f"/api/resolve-cache/{kind}/{name}/{commit}/{quote(path)}"}
        self._send(307, b"", headers)

    def _content(self, content: bytes, headers: dict[str, str]) -> None:
        status, total = 200, len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or total - 1), total - 1)
            if first > last:
                return self._send(416, b"", {"Content-Range": f"bytes */{total}"})
            status, content = 206, content[first : last + 1]
            headers = {**headers, "Content-Range": f"bytes {first}-{last}/{total}"}
        if self.fault == "wrong byte":
            middle = len(content) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        self._send(status, content, {**headers, "Accept-Ranges": "bytes"})

    def _json(self, value: object) -> None:
        for lie in self.lies:
            value = lie.edit(value) if lie.edit else value
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self._send(200, content, {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str, message: str = "") -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": message} if code or message else {})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        lies = {name: value for lie in self.lies for name, value in lie.headers.items()}
        length = {} if self.fault == "endless" else {"Content-Length": str(len(content))}
        for name, value in {**length, **headers, **lies}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault in ("drip", "endless"):
            return self._on_and_on(content)
        if self.fault in ("cut", "stall"):
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            if self.fault == "stall":
                self.hub.stalled.wait(timeout=60)
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(content)

    def _on_and_on(self, content: bytes) -> None:
        """Send for as long as the client listens, or the content lasts."""
        endless = self.fault == "endless"
        self.close_connection = True
        try:
            for part in (
                iter(lambda: b"x" * 65536, None) if endless else (content[i : i + 1] for i in range(len(content)))
            ):
                self.wfile.write(part)
                time.sleep(0 if endless else 0.1)
        except OSError:
            pass


def _sibling(path: str, content: bytes | Recorded, *, blobs: bool) -> dict:
    if not blobs:
        return {"rfilename": path}
    if isinstance(content, Recorded):
        lfs = {"size": content.size, "sha256": content.sha256, "pointerSize": 134}
        return {"rfilename": path, "size": content.size, "blobId": blob_id(content), "lfs": lfs}
    entry = {"rfilename": path, "size": len(content), "blobId": blob_id(content)}
    if path.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"size": len(content), "sha256": digest, "pointerSize": 134}
    return entry


def _entry(path: str, content: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
    if path.endswith(LARGE):
        entry["lfs"] = {"size": len(content), "oid": hashlib.sha256(content).hexdigest(), "pointerSize": 134}
    return entry


def _tree(files: dict[str, bytes], folder: str, *, recursive: bool) -> list[dict]:
    prefix = f"{folder}/" if folder else ""
    entries, folders = [], set()
    for path, content in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        rest = path[len(prefix) :]
        parents = rest.split("/")[:-1]
        shown = range(1, len(parents) + 1) if recursive else range(1, min(1, len(parents)) + 1)
        folders |= {prefix + "/".join(parents[:depth]) for depth in shown}
        if recursive or not parents:
            entries.append(_entry(path, content))
    return [{"type": "directory", "path": path, "oid": "0" * 40} for path in sorted(folders)] + entries
