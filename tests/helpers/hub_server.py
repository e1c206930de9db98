"""A stand-in for the part of the Hugging Face Hub that models are published to and pulled from, kept in memory.

It speaks what `huggingface_hub` asks for without Xet: who am I, create, validate, preupload, LFS (in one piece or in
parts), commit, model info, tree, files. As a program it prints its address and serves until it is stopped:

    python tests/helpers/hub_server.py --port 8008 --user me --token hf_stand_in
    HF_ENDPOINT=http://127.0.0.1:8008 HF_TOKEN=hf_stand_in HF_HUB_DISABLE_XET=1 medalist publish RUN --repo me/name
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from servers import Answer, Request, serving

HIDDEN = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}


@dataclass
class Repo:
    """A model repository: its commits, oldest first."""

    private: bool
    commits: list[dict[str, bytes]]
    messages: list[str]

    @property
    def files(self) -> dict[str, bytes]:
        """Path -> content, of the newest commit."""
        return self.commits[-1]

    def oid(self, number: int = -1) -> str:
        """Of a commit, by its number."""
        number %= len(self.commits)
        told = [
            self.messages[number],
            *(f"{p}:{_blob(c)}" for p, c in sorted(self.commits[number].items())),
            str(number),
        ]
        return hashlib.sha1("\n".join(told).encode()).hexdigest()

    def at(self, revision: str) -> int | None:
        """The number of a commit: of `main`, or by its id."""
        if revision == "main":
            return len(self.commits) - 1
        return next((n for n in range(len(self.commits)) if self.oid(n) == revision), None)


@dataclass
class ModelHub:
    """Give it to `servers.serving`, as `answer` and its `reads` as `reads`; then call `servers.use_hub`."""

    tokens: dict[str, str] = field(default_factory=lambda: {"hf_stand_in": "me"})
    """Token -> user."""
    repos: dict[str, Repo] = field(default_factory=dict)
    part: int | None = None
    """Larger LFS files are taken in parts of so many bytes."""
    large: int = 10_000_000
    """From so many bytes on a file goes to LFS; weights always do."""
    faults: list[tuple[str, Answer]] = field(default_factory=list)
    """(part of "METHOD path", answer instead), each used once by the first request that it fits."""
    cuts: list[tuple[str, int]] = field(default_factory=list)
    """(part of "METHOD path", bytes of the body after which the connection is cut), each used once."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """LFS content by SHA-256."""
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.RLock)

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> None:
        """A repository that is there already."""
        self.repos[name] = Repo(private=private, commits=[files], messages=["before"])

    def reads(self, request: Request) -> int | None:
        """See `servers.serving`."""
        return self._used(self.cuts, request)

    def _used(self, listed: list[tuple[str, Any]], request: Request) -> Any:
        with self._lock:
            for entry in listed:
                if entry[0] in f"{request.method} {request.path}":
                    listed.remove(entry)
                    return entry[1]
        return None

    def __call__(self, request: Request) -> Answer:
        with self._lock:
            return self._used(self.faults, request) or self._answer(request)

    def _answer(self, request: Request) -> Answer:
        path, host = request.path, f"http://{request.headers['host']}"
        if path.startswith("/lfs/"):  # on the Hub a storage of its own, where the address is the permission
            return self._store(request, path.removeprefix("/lfs/"))
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            return _refusal(401, "Invalid credentials in Authorization header")
        user = self.tokens.get(token)
        if path == "/api/whoami-v2":
            return _json({"type": "user", "name": user, "orgs": []}) if user else _refusal(401, "Log in")
        if path == "/api/repos/create":
            return self._create(json.loads(request.body), user, host)
        if path == "/api/validate-yaml":
            return _validated(json.loads(request.body)["content"])
        if path.startswith("/api/models/"):
            return self._model(request, path.removeprefix("/api/models/"), user, host)
        if path.endswith(".git/info/lfs/objects/batch"):
            repo = path.removeprefix("/").removesuffix(".git/info/lfs/objects/batch")
            return self._batch(json.loads(request.body), repo, user, host)
        repo, _, rest = path.removeprefix("/").partition("/resolve/")
        return self._file(repo, rest, user, host) if rest else Answer(404)

    def _create(self, wanted: dict[str, Any], user: str | None, host: str) -> Answer:
        name = f"{wanted['organization'] or user}/{wanted['name']}"
        if user is None:
            return _refusal(401, "Log in")
        if not self._may_write(name, user):
            return _refusal(
                403, f"You don't have the rights to create a model under the namespace {name.split('/')[0]!r}"
            )
        if name in self.repos:
            return _json({"error": "You already created this model repo", "url": f"{host}/{name}"}, 409)
        private = wanted.get("visibility") == "private"
        self.repos[name] = Repo(
            private=private, commits=[{".gitattributes": b"*.safetensors filter=lfs\n"}], messages=["initial"]
        )
        return _json({"url": f"{host}/{name}", "id": name, "name": name})

    def _may_write(self, repo: str, user: str | None) -> bool:
        return repo.split("/")[0] == user

    def _model(self, request: Request, rest: str, user: str | None, host: str) -> Answer:
        parts = rest.split("/")
        name, (verb, revision) = "/".join(parts[:2]), (*parts[2:4], "", "")[:2]
        repo = self._visible(name, user)
        if repo is None:
            return Answer(404 if user else 401, headers=HIDDEN)
        number = repo.at(revision or "main")
        if number is None:
            return Answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        files = repo.commits[number]
        if verb in ("", "revision"):
            card = _metadata(files.get("README.md", b"").decode())
            siblings = [{"rfilename": path} for path in sorted(files)]
            tags = card.get("tags") or []
            about = {"id": name, "sha": repo.oid(number), "private": repo.private, "tags": tags, "siblings": siblings}
            return _json(about)
        if verb == "tree":
            return _json([self._entry(path, content) for path, content in sorted(files.items())])
        if not self._may_write(name, user):
            return _refusal(403, "you must use a write token with access to this repository")
        if verb == "preupload":
            asked = json.loads(request.body)["files"]
            return _json({"files": [self._mode(file, files) for file in asked]})
        assert verb == "commit", rest
        return self._commit(repo, name, [json.loads(line) for line in request.body.splitlines()], host)

    def _visible(self, name: str, user: str | None) -> Repo | None:
        repo = self.repos.get(name)
        return repo if repo and (not repo.private or self._may_write(name, user)) else None

    def _is_large(self, path: str, size: int) -> bool:
        return path.endswith(".safetensors") or size >= self.large

    def _mode(self, file: dict[str, Any], there: dict[str, bytes]) -> dict[str, Any]:
        large, content = self._is_large(file["path"], file["size"]), there.get(file["path"])
        oid = None if content is None else hashlib.sha256(content).hexdigest() if large else _blob(content)
        found = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        return found | ({"oid": oid} if oid else {})

    def _entry(self, path: str, content: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _blob(content)}
        if self._is_large(path, len(content)):
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
        return entry

    def _commit(self, repo: Repo, name: str, lines: list[dict[str, Any]], host: str) -> Answer:
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, repo.oid()):
            return _refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.objects:
                    return _refusal(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
                files[value["path"]] = self.objects[value["oid"]]
            else:
                assert line["key"] == "deletedFile", line
                del files[value["path"]]
        repo.commits.append(files)
        repo.messages.append(header["summary"])
        return _json({"commitUrl": f"{host}/{name}/commit/{repo.oid()}", "commitOid": repo.oid()})

    def _batch(self, wanted: dict[str, Any], repo: str, user: str | None, host: str) -> Answer:
        if not self._may_write(repo, user):
            return _refusal(403, "you must use a write token with access to this repository")
        objects = []
        for asked in wanted["objects"]:
            oid, size = asked["oid"], asked["size"]
            actions: dict[str, Any] = {
                "upload": {"href": f"{host}/lfs/{oid}"},
                "verify": {"href": f"{host}/lfs/{oid}/verify"},
            }
            if self.part is not None and size > self.part:
                urls = {str(n + 1): f"{host}/lfs/{oid}/part/{n + 1}" for n in range(-(-size // self.part))}
                actions["upload"] = {
                    "href": f"{host}/lfs/{oid}/complete",
                    "header": {"chunk_size": str(self.part), **urls},
                }
            objects.append(asked if oid in self.objects else asked | {"actions": actions})
        return _json({"transfer": "basic", "objects": objects})

    def _store(self, request: Request, rest: str) -> Answer:
        oid, _, what = rest.partition("/")
        if request.method in ("GET", "HEAD"):
            content = self.objects[oid]
            return Answer(body=content, headers={"ETag": f'"{oid}"'})
        if what.startswith("part/"):
            self.parts.setdefault(oid, {})[int(what.removeprefix("part/"))] = request.body
            return Answer(headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})
        if what == "verify":
            told = json.loads(request.body)
            right = told["oid"] in self.objects and len(self.objects[told["oid"]]) == told["size"]
            return Answer(200 if right else 404)
        body = b"".join(part for _, part in sorted(self.parts.pop(oid).items())) if what == "complete" else request.body
        if hashlib.sha256(body).hexdigest() != oid:
            return _refusal(400, "The content is not what was announced")
        self.objects[oid] = body
        return Answer()

    def _file(self, name: str, rest: str, user: str | None, host: str) -> Answer:
        repo = self._visible(name, user)
        if repo is None:
            return Answer(404 if user else 401, headers=HIDDEN)
        revision, _, path = rest.partition("/")
        number = repo.at(revision)
        if number is None:
            return Answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        headers = {"X-Repo-Commit": repo.oid(number)}
        content = repo.commits[number].get(path)
        if content is None:
            return Answer(404, headers=headers | {"X-Error-Code": "EntryNotFound"})
        if not self._is_large(path, len(content)):
            return Answer(body=content, headers=headers | {"ETag": f'"{_blob(content)}"'})
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        linked = {
            "X-Linked-Size": str(len(content)),
            "X-Linked-Etag": f'"{oid}"',
            "Location": f"{_other_host(host)}/lfs/{oid}",
        }
        return Answer(302, headers=headers | linked)


def _other_host(host: str) -> str:
    """The same server under another name: large files come from elsewhere, and the client follows there by itself."""
    return host.replace("127.0.0.1", "localhost")


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _refusal(status: int, message: str) -> Answer:
    answer = _json({"error": message}, status)
    answer.headers["X-Error-Message"] = message
    return answer


def _blob(content: bytes) -> str:
    """Git's id of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _metadata(card: str) -> dict[str, Any]:
    head = card.split("---\n")[1] if card.startswith("---\n") else ""
    return yaml.safe_load(head) or {}


def _validated(card: str) -> Answer:
    """What the Hub insists on in a card's metadata."""
    try:
        metadata = _metadata(card)
        missing = [key for key in ("license", "tags") if not metadata.get(key)]
        for model in metadata.get("model-index", []):
            for result in model["results"]:
                told = [result["task"]["type"], result["dataset"]["type"], result["dataset"]["name"]]
                told += [metric[key] for metric in result["metrics"] for key in ("type", "value")]
                missing += ["model-index"] * (None in told)
    except (yaml.YAMLError, KeyError, TypeError) as error:
        missing = [repr(error)]
    errors = [{"message": f'"{key}" is required'} for key in missing]
    return _json({"errors": errors, "warnings": []}, 400 if errors else 200)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--user", default="me")
    parser.add_argument("--token", default="hf_stand_in")
    parser.add_argument("--until-eof", action="store_true", help="end with standard input, so with whoever started it")
    chosen = parser.parse_args()
    hub = ModelHub(tokens={chosen.token: chosen.user})
    with serving(hub, port=chosen.port, reads=hub.reads) as server:
        print(server.url, flush=True)
        with suppress(KeyboardInterrupt):
            sys.stdin.read() if chosen.until_eof else threading.Event().wait()
