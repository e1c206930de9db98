"""Stand-ins for Zenodo and the Hugging Face Hub on this machine: they answer, remember what was asked, and break on
demand."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""Of every revision of a stand-in Hub."""


@dataclass
class Request:
    method: str
    path: str
    """Unquoted, without the query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Bytes of the body after which the connection is closed."""
    stall: bool = False
    """At the cut, wait for the server's end instead."""
    says_length: bool = True
    """Without it only the end of the connection ends the body."""


@dataclass
class Served:
    url: str
    requests: list[Request]

    def asked(self, part: str) -> list[Request]:
        """Requests whose path contains this."""
        return [request for request in self.requests if part in request.path]


@contextmanager
def serving(
    answer: Callable[[Request], Answer], *, port: int = 0, reads: Callable[[Request], int | None] = lambda _: None
) -> Iterator[Served]:
    """Answer HTTP requests while the block runs.

    Args:
        answer: to each request, its body read.
        port: 0: a free one.
        reads: asked before the body is read: after so many bytes of it the connection is closed, without an answer.
    """
    requests: list[Request] = []
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, unquote(urlsplit(self.path).path), headers)
            requests.append(request)
            if (most := reads(request)) is not None:
                request.body = self.rfile.read(most)
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            request.body = self._body()
            given = answer(request)
            self.send_response(given.status)
            length = {"Content-Length": str(len(given.body))} if given.says_length else {}
            for name, value in (given.headers | length | {"Connection": "close"}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with suppress(ConnectionError):  # a client may end first
                    self.wfile.write(given.body[: given.cut])
                if given.stall:
                    ended.wait(30)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.do_GET()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{server.server_address[1]}", requests)
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Zenodo:
    """One record, number 7, with its files; give it to `serving` and ask `URL/records`."""

    files: dict[str, bytes]
    honours_range: bool = True
    checksums: dict[str, str] = field(default_factory=dict)
    """In the place of the right ones."""
    record_faults: list[Answer] = field(default_factory=list)
    """Used up one by one before the record is shown."""
    faults: list[Answer] = field(default_factory=list)
    """Used up one by one when a file is asked for: an error status is sent as it is; else the body is put in."""

    def __call__(self, request: Request) -> Answer:
        if request.path == "/records/7":
            return self.record_faults.pop(0) if self.record_faults else self._record(request.headers["host"])
        name = request.path.removeprefix("/files/")
        if name not in self.files:
            return Answer(404)
        fault = self.faults.pop(0) if self.faults else Answer()
        if fault.status >= 400:
            return fault
        body = self.files[name]
        if self.honours_range and "range" in request.headers:
            start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
            headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            return replace(fault, status=206, body=body[start:], headers=headers)
        return replace(fault, body=body)

    def _record(self, host: str) -> Answer:
        listed = [
            {
                "key": name,
                "size": len(body),
                "checksum": "md5:" + self.checksums.get(name, hashlib.md5(body).hexdigest()),
                "links": {"self": f"http://{host}/files/{name}"},
            }
            for name, body in self.files.items()
        ]
        return Answer(body=json.dumps({"id": 7, "files": listed}).encode())


@dataclass
class Hub:
    """Dataset repositories: name -> revision -> path -> content; give it to `serving`, then call `use_hub`."""

    datasets: dict[str, dict[str, dict[str, bytes]]]
    gated: frozenset[str] = frozenset()
    """They show their lists of files, but not the files."""
    told: dict[str, dict[str, object]] = field(default_factory=dict)
    """More that is said of a repository: `private` and `gated`, which are false otherwise."""

    def __call__(self, request: Request) -> Answer:
        if request.path.startswith("/api/datasets/"):
            repo, _, revision = request.path.removeprefix("/api/datasets/").partition("/revision/")
            files = self.datasets.get(repo, {}).get(revision)
            if files is None:
                return self._missing(repo)
            siblings = [{"rfilename": path} for path in files]
            about = {"id": repo, "sha": COMMIT, "private": False, "gated": False, "siblings": siblings}
            return Answer(body=json.dumps(about | self.told.get(repo, {})).encode())
        repo, _, rest = request.path.removeprefix("/datasets/").partition("/resolve/")
        if repo in self.gated:
            return Answer(403, headers={"X-Error-Code": "GatedRepo"})
        for revision, files in self.datasets.get(repo, {}).items():
            for name, body in files.items():
                if rest in (f"{revision}/{name}", f"{COMMIT}/{name}"):
                    etag = hashlib.sha256(body).hexdigest()
                    return Answer(body=body, headers={"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        return self._missing(repo)

    def _missing(self, repo: str) -> Answer:
        known = repo in self.datasets
        return Answer(404, headers={"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"})


def use_hub(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have huggingface_hub, here and in child processes, ask this server and keep its files in this folder."""
    for name, value in {"HF_ENDPOINT": url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}.items():
        monkeypatch.setenv(name, value)
    constants = huggingface_hub.constants  # they were read from the environment when it was imported
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", url)  # behind huggingface_hub.file_exists and its like
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@contextmanager
def direct_connections() -> Iterator[None]:
    """Neither a proxy that the environment may name nor offline mode, while the block runs."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        huggingface_hub.close_session()  # the next one reads the environment anew, which takes a tenth of a second
        yield
        huggingface_hub.close_session()
