"""Makes the package's long description from README.md, for pages that have no repository beside them, such as PyPI's.

hatchling calls it whenever it builds. If `[project.urls]` of pyproject.toml names the `Repository`, relative links and
pictures lead to this version there; until then links become their text, and pictures what they show, in words.
"""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)")


def long_description(readme: str, version: str, repository: str | None) -> str:
    """`readme` with every relative link made absolute, as GitHub addresses the files of a tag, or taken out."""

    def elsewhere(link: re.Match[str]) -> str:
        picture, text, path = link.groups()
        if repository is None:
            return f"*{text}*" if picture else text
        return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/v{version}/{path})"

    return RELATIVE.sub(elsewhere, readme)


class LongDescription(MetadataHookInterface):
    """What `[tool.hatch.metadata.hooks.custom]` names."""

    def update(self, metadata: dict) -> None:
        """Set `readme`."""
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        repository = metadata.get("urls", {}).get("Repository")
        text = long_description(readme, metadata["version"], repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
