"""Downloads public medical texts from their Git repositories, only when the user asks for one by name.

Each file is taken from a fixed commit, whose id is a checksum of its content, so Git refuses anything else.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..data.sources.texts import PlainText
from ..tools.files import replacing
from ..tools.progress import say
from .origins import remember_download

TIMEOUT = 1800
"""Seconds after which a download is abandoned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicTexts:
    """Texts in a public Git repository."""

    name: str
    repository: str
    """URL of the repository."""
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    """(commit, paths or patterns in it) for each commit that files are taken from."""
    terms: str
    """Licence and authors, to be cited with anything made from the texts."""


PUBLIC = {
    texts.name: texts
    for texts in (
        PublicTexts(
            name="medquad",
            repository="https://github.com/abachaa/MedQuAD",
            parts=(("7e94c7b336f1f8e010c03091df691c8bea014399", ("**/*.xml",)),),
            terms="CC BY 4.0: Ben Abacha and Demner-Fushman 2019",
        ),
        PublicTexts(
            name="mts-dialog",
            repository="https://github.com/abachaa/MTS-Dialog",
            parts=(
                ("3d2beb01913d076cc51a57ff3a0c35894b2248ad", ("Main-Dataset/MTS-Dialog-TrainingSet.csv",)),
                ("db552cde9da99ff6e24cc6b1b5de5415d83f1850", ("Main-Dataset/MTS-Dialog-ValidationSet.csv",)),
            ),
            terms="CC BY 4.0: Ben Abacha et al. 2023",
        ),
        PublicTexts(
            name="aci-bench",
            repository="https://github.com/wyim/aci-bench",
            parts=(("5d3cd4d8a25b4ebb5b2b87c3923a7b2b7150e33d", ("data/challenge_data/*.csv",)),),
            terms="CC BY 4.0: Yim et al. 2023",
        ),
    )
}


def named_texts(source: str, downloads: Path) -> Path:
    """The file or folder of a user's source, which may be `public:NAME`.

    Args:
        source: a path, or `public:` and a name in `PUBLIC`; only the latter uses the network.
        downloads: folder for downloaded texts.

    Raises:
        ValueError: the name is unknown.
        OSError: as for `public_file`.
    """
    if not source.startswith("public:"):
        return Path(source)
    name = source.removeprefix("public:")
    if name not in PUBLIC:
        raise ValueError(f"{source}: unknown name. Known: {', '.join(f'public:{known}' for known in PUBLIC)}")
    return public_file(PUBLIC[name], downloads)


def public_file(texts: PublicTexts, folder: Path) -> Path:
    """Download public texts as JSON Lines, unless the folder already has them.

    Args:
        texts: what to download.
        folder: created if it does not exist.

    Returns:
        The file, whose name contains the commit.

    Raises:
        OSError: Git is not installed, or the repository or the commit cannot be reached or contains no texts.
    """
    target = folder / f"{texts.name}-{texts.parts[-1][0][:8]}.jsonl"
    if target.exists():
        return target
    if shutil.which("git") is None:
        raise OSError(f"public:{texts.name} is downloaded with Git, which is not installed: install git")
    say(f"Downloading {texts.repository} ({texts.terms})")
    count = 0
    with replacing(target) as file:
        for commit, patterns in texts.parts:
            for name, content in _files(texts.repository, commit, patterns):
                for text in _texts(texts.name, name, content):
                    file.write(json.dumps(text._asdict(), ensure_ascii=False) + "\n")
                    count += 1
        if not count:
            raise OSError(f"{texts.repository} has no texts under {', '.join(p for _, ps in texts.parts for p in ps)}")
    remember_download(target, texts.repository)
    return target


def _files(repository: str, commit: str, patterns: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The files of a commit that match the patterns, by name. Nothing is checked out, so no code in it can run."""
    with tempfile.TemporaryDirectory(prefix="medalist-texts-") as bare:
        _git(bare, "init", "--bare", "--quiet")
        _git(bare, "fetch", "--quiet", "--depth=1", "--no-tags", repository, commit)
        wanted = (f":(glob,top){pattern}" for pattern in patterns)
        packed = _git(bare, "archive", "--format=tar", "FETCH_HEAD", "--", *wanted)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            if member.isfile() and (file := archive.extractfile(member)) is not None:
                yield member.name, file.read()


def _git(folder: str, *arguments: str) -> bytes:
    """Run Git in a bare repository of our own, without the user's settings, hooks or prompts.

    Raises:
        OSError: Git failed; the message is the last line of its output.
    """
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", "-C", folder, "-c", f"core.hooksPath={os.devnull}", *arguments]
    try:
        done = subprocess.run(
            command, env=os.environ | quiet, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=TIMEOUT
        )
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise OSError(f"git {arguments[0]} failed: {lines[-1]}. Check the connection and try again.") from None
    except subprocess.TimeoutExpired:
        raise OSError(f"git {arguments[0]} took more than {TIMEOUT // 60} minutes: try again later.") from None
    return done.stdout


def _texts(source: str, name: str, content: bytes) -> Iterator[PlainText]:
    """The texts of one file: answers in MedQuAD's XML, or notes and sections of notes in a CSV."""
    if name.endswith(".xml"):
        document = ET.fromstring(content)
        origin = f"{source}-{document.get('source', '')}"
        for pair in document.iter("QAPair"):
            answer = pair.findtext("Answer") or ""
            if answer.strip():
                yield PlainText(f"{source}-{document.get('id', '')}-{pair.get('pid', '')}", answer.strip(), origin)
        return
    for number, row in enumerate(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))):
        text = row.get("note") or row.get("section_text") or ""
        if text.strip():
            identifier = row.get("encounter_id") or row.get("ID") or str(number)
            yield PlainText(f"{source}-{Path(name).stem}-{identifier}", text.strip(), source)
