"""The format of `--help`: plain text in 80 columns, verbs under headings, examples that can be copied line by line.

A verb's docstring is its help. Its examples are indented below "Examples:", one command per line.
"""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

_AS_WRITTEN = "\b\n"  # click does not wrap paragraphs that begin with this
_TYPES = {"str": "text", "list[str]": "text", "list[Path]": "path", "int": "number", "int range": "number"}
_TYPES |= {"float": "number", "float range": "number"}


class _Discreet:
    """Parses arguments like click, but its errors do not quote what may be a text."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of a verb or of a group."""
        given = list(args)
        try:
            parsed: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]  # click's, of the other base class
        except Exception as error:  # click's or typer's own UsageError, by version
            dashed = [one for one in given if one.startswith("-") and any(map(str.isspace, one.split("=")[0]))]
            if hasattr(error, "option_name") and dashed and "No such option" in str(getattr(error, "message", "")):
                ctx.fail("A text that begins with - is taken for an option: put -- before it, or use standard input.")
            takes_text = any(one.name == "text" for one in self.params)  # type: ignore[attr-defined]  # as above
            if takes_text and "unexpected extra argument" in str(getattr(error, "message", "")):
                ctx.fail("There are more arguments than RUN and TEXT: put the text in quotation marks.")
            raise
        return parsed


class Verb(_Discreet, TyperCommand):
    """A verb whose examples keep their lines, and whose values have English names instead of Python types."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.help = _plain(self.help)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Write a required argument as NAME and an optional one as [NAME], whatever its metavar."""
        pieces = (re.sub(r"\{(.+?)(\.\.\.)?\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx))
        return [re.sub(r"\[\[(.+?)\](\.\.\.)?\]", r"[\1]", piece) for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the lists of arguments and options."""
        parameters = self.get_params(ctx)
        for heading in ("Arguments", "Options"):
            found = [each for each in parameters if f"{each.param_type_name}s" == heading.lower()]
            records = [record for each in found if (record := each.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(heading):
                    formatter.write_dl([(_named(left, heading == "Options"), right) for left, right in records])


class Verbs(_Discreet, TyperGroup):
    """Verbs under their headings, each with its whole first sentence."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.help, self.epilog = _plain(self.help), _plain(self.epilog)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb; a text in its place is not quoted."""
        if any(map(str.isspace, args[0])):
            ctx.fail('The first argument is no command. To expand a text: medalist expand "TEXT"')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of verbs."""
        headings: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            verb: Any = self.get_command(ctx, name)
            first = (verb.help or "").partition("\n\n")[0]
            headings.setdefault(verb.rich_help_panel or "Commands", []).append((name, first))
        for heading, rows in headings.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


def _named(parameter: str, typed: bool) -> str:
    """A parameter as listed: `--port <int range>` as `--port <number>`, an argument as its name."""
    return re.sub(r" ?<([^<>]+)>", lambda found: f" <{_TYPES.get(found[1], found[1])}>" if typed else "", parameter)


def _plain(text: str | None) -> str | None:
    """Markdown for a terminal: no backticks, and indented blocks line by line."""
    if text is None:
        return None
    paragraphs = text.replace("`", "").split("\n\n")
    return "\n\n".join(_AS_WRITTEN + each if "\n    " in each else each for each in paragraphs)
