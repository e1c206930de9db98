"""The licences of base models, and what they require of a derived model: tags, names, notices.

Facts about the Llama licences are from section 1.b (redistribution) of each, as published by Meta with the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

NOTICE, LICENCE = "NOTICE", "LICENSE"
"""Names of the files that are published with the weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Licence:
    """What a base model's licence requires of derived models."""

    id: str
    """Identifier in the Hub's model cards."""
    name: str
    url: str | None = None
    built_with: str | None = None
    """Words that the licence requires to be displayed."""
    name_begins: str | None = None
    """Required beginning of a derived model's name, with hyphens for spaces."""
    notice: str | None = None
    """The line that the licence requires in a text file named "Notice"; a copy of the licence must go with it."""

    def check_name(self, repo: str) -> None:
        """Refuse a repository name that does not begin as the licence requires.

        Raises:
            ValueError: the name is refused; the message suggests a valid one.
        """
        user, name = repo.split("/")
        begins = self.name_begins
        if begins and not name.lower().startswith(begins.lower()):
            rest = re.sub(r"(?i)^(meta-)?llama[-_]?[\d.]*[-_]*", "", name)
            raise ValueError(
                f'The {self.name} requires the name of a derived model to begin with "{begins.replace("-", " ")}": '
                f"{repo} does not; {user}/{begins}-{rest} would do"
            )


def _llama(version: str, *, mark: str | None, begins: str | None) -> Licence:
    product = f"{'Meta ' if version == '3' else ''}Llama {version}"
    return Licence(
        id=f"llama{version}",
        name=f"{product} Community License",
        url=f"https://www.llama.com/llama{version.replace('.', '_')}/license/",
        built_with=f"Built with {mark}" if mark else None,
        name_begins=begins,
        notice=f"{product} is licensed under the {product} Community License, Copyright © Meta Platforms, Inc. "
        "All Rights Reserved.",
    )


_LLAMA = {
    "2": _llama("2", mark=None, begins=None),
    "3": _llama("3", mark="Meta Llama 3", begins="Llama-3"),
    "3.1": _llama("3.1", mark="Llama", begins="Llama"),
    "3.2": _llama("3.2", mark="Llama", begins="Llama"),
    "3.3": _llama("3.3", mark="Llama", begins="Llama"),
    "4": _llama("4", mark="Llama", begins="Llama"),
}
_ID = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*\+{0,2}", re.ASCII)
"""How the Hub names licences: apache-2.0, openrail++."""
_APACHE = Licence(id="apache-2.0", name="Apache License 2.0", url="https://www.apache.org/licenses/LICENSE-2.0")


def licence_of(base_id: str, folder: Path | None = None, *, given: str | None = None) -> Licence | None:
    """The licence of a base model, and so of models derived from it.

    Args:
        base_id: its Hub id. Llama's obligations follow from the name, whoever uploaded the copy.
        folder: its folder, with its model card if it has one.
        given: the licence as named by the user, with the Hub's identifier; it does not override Llama's obligations.

    Returns:
        None if the licence is unknown.

    Raises:
        ValueError: `given` is not the name of a licence.
    """
    if match := re.search(
        r"(?i)(?<![a-z])(?:meta-?)?llama[-_ ]?([24]|3(?:\.[1-3])?)(?![\d.]*\d|b\b)", base_id.split("/")[-1]
    ):
        return _LLAMA[match[1]]
    if given is not None:
        given = given.lower()
        if not _ID.fullmatch(given):
            raise ValueError(f"{given!r} is not a licence as the Hub names them, such as apache-2.0, mit or other")
        return Licence(id=given, name=given)
    if base_id.startswith("HuggingFaceTB/SmolLM"):
        return _APACHE
    named = _of_card(folder / "README.md") if folder is not None else None
    if named is not None and named.removeprefix("llama") in _LLAMA:
        return _LLAMA[named.removeprefix("llama")]
    return _APACHE if named == "apache-2.0" else Licence(id=named, name=named) if named else None


def _of_card(card: Path) -> str | None:
    """The licence that a model card's metadata names."""
    if not card.exists():
        return None
    head = card.read_text(encoding="utf-8", errors="replace").split("---\n")
    try:
        metadata = yaml.safe_load(head[1]) if len(head) > 2 and not head[0].strip() else None
    except yaml.YAMLError:
        return None
    named = metadata.get("license") if isinstance(metadata, dict) else None
    return named if isinstance(named, str) and _ID.fullmatch(named) else None


def find_licence_file(licence: Licence, folder: Path | None, *, given: Path | None = None) -> Path | None:
    """The copy of the licence that must be published with a model: the given file, or the one in the base's folder.

    Returns:
        None if the licence does not require a copy.

    Raises:
        ValueError: a copy is required but there is none.
    """
    if given is not None:
        if not given.is_file():
            raise ValueError(f"{given} is not a file: --license-file takes the text of the {licence.name}")
        return given
    if licence.notice is None:
        return None
    beside = [path for path in sorted(folder.glob("LICENSE*")) if path.is_file()] if folder is not None else []
    if not beside:
        raise ValueError(
            f"The {licence.name} requires a copy of it to be published with the model: give its text with "
            "--license-file (the file LICENSE of the base model's repository)"
        )
    return beside[0]
