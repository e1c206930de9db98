"""`medalist expand`. A thin layer, like `app`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from ..expansion.options import Format, TableFormat, Unsure
from .options import (
    AnyCase,
    EngineName,
    GlossaryFile,
    MinProbability,
    NumberFormat,
    OneSense,
    OtherInventory,
    emit,
    emit_json,
    emit_utf8,
    out,
)

if TYPE_CHECKING:
    from ..expansion.notes import NoteFile


def expand(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run's folder or GGUF file, or, if TEXT is also given, the Hub id of a published run. Default: the "
            "reader that comes with Medalist.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="The text, or its file, or notes: .csv, .tsv, .jsonl, .parquet or a folder of .txt, which need --out. "
            "- or nothing: standard input, as one text or, with --input-format, as notes.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="For notes: where the results go, as .jsonl, .csv or .parquet; -: to standard output as JSON Lines, "
            "which is the default for notes on standard input.",
        ),
    ] = None,
    input_format: Annotated[
        TableFormat | None,
        typer.Option(
            help="Format of standard input (csv, tsv or jsonl), or of a file whose name does not show it. Default: one "
            "text, or by the file's name."
        ),
    ] = None,
    kind: Annotated[
        Format | None,
        typer.Option(
            "--format", help="Format of --out; also brat (a folder) or note-nlp (OMOP, as CSV). Default: from its name."
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column or field with the text. Default: text or note_text.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column or field with the id. Default: id or note_id, or else rows are numbered.")
    ] = None,
    workers: Annotated[int, typer.Option(help="For a file of notes: number of processes, each with a model.")] = 1,
    ray: Annotated[
        str | None, typer.Option(help="For a file of notes: run on a Ray cluster instead: local, auto or its address.")
    ] = None,
    engine: EngineName = None,
    dtype: NumberFormat = None,
    inventory: OtherInventory = None,
    glossary: GlossaryFile = None,
    min_probability: MinProbability = None,
    one_sense_per_text: OneSense = False,
    any_case: AnyCase = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Print the text with short forms replaced where the answer is sure (see --min-probability).",
        ),
    ] = False,
    unsure: Annotated[
        Unsure,
        typer.Option(help='With --replace: mark an answer that is not sure, as "RA [room air? 74 %]", or leave it.'),
    ] = "mark",
    encoding: Annotated[
        str | None, typer.Option(help="The text's encoding. Default: UTF-8, or Windows-1252 if it is not UTF-8.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print expansions and warnings as JSON.")] = False,
) -> None:
    """Expand each short form of a text in context; no part of the text is logged, stored or sent.

    For one text it prints a table: a row for each short form, its meaning with a probability, and where the answer
    comes from. Definitions in the text come first, then your glossary, then the inventory and the model. Notations
    that the Joint Commission or ISMP advises against are reported.

    A file of notes gives a file of results (--out). If the command was stopped, run it again to resume.

    Examples:
        medalist expand "Pt with RA, SpO2 93% on RA."
        medalist expand runs/demo note.txt --glossary ours.csv
        medalist expand notes.csv --id-column visit --out expanded.parquet
        cat notes.jsonl | medalist expand - --input-format jsonl | jq .expansions
    """
    from ..expansion.note_formats import holds_many

    run, text = _run_and_text(run, text)
    if output is not None and output == Path():  # such as an unset variable
        raise ValueError("--out is empty or a folder: name the file to write")
    path = Path(text) if text is not None and _exists(text) else None
    from_pipe = text in (None, "-")
    if input_format and path is None and not from_pipe:
        raise ValueError("--input-format says what standard input or a file holds, not a text")
    options: dict[str, Any] = {
        "engine": engine,
        "dtype": dtype,
        "inventory": inventory,
        "glossary": glossary,
        "any_case": any_case,
        "min_probability": min_probability,
        "one_sense_per_text": one_sense_per_text,
    }
    for_files = {"--workers": workers != 1, "--ray": ray is not None}
    if input_format or (path is not None and holds_many(path)):
        if path is not None and output is None:
            raise ValueError(f"{path} holds many notes: say where the results go with --out")
        if as_json:
            raise ValueError("--json is for a single text: notes are written to --out .jsonl, or to --out - for a pipe")
        in_turn = output is None or str(output) == "-"
        for_files["--format"] = kind not in (None, "jsonl")
        if in_turn and (given := _first_given(for_files)):
            raise ValueError(f"{given} needs a file as --out: to standard output, notes go one by one as JSON Lines")
        source = _notes(path, input_format, text_column=text_column, id_column=id_column, encoding=encoding)
        reading = {"run": run, **options, "replaced": unsure if replace else None}
        _expand_notes(source, None if in_turn else output, reading, kind, workers=workers, ray=ray)
        return
    for_notes = {
        "--out": output is not None,
        "--format": kind is not None,
        "--text-column": text_column is not None,
        "--id-column": id_column is not None,
        **for_files,
    }
    if given := _first_given(for_notes):
        raise _only_for_notes(given, path, from_pipe=from_pipe)
    shown: Unsure | None = unsure if replace else None
    _expand_text(_content(text, path, encoding), run, options, as_json=as_json, replaced=shown)


def _first_given(options: dict[str, bool]) -> str | None:
    return next((name for name, given in options.items() if given), None)


def _only_for_notes(option: str, path: Path | None, *, from_pipe: bool) -> ValueError:
    """The error for an option that was given with a single text."""
    if from_pipe:
        return ValueError(f"{option} is for notes: say with --input-format csv, tsv or jsonl what standard input holds")
    file = f"; {path} is not one: save it as one, or say what it holds with --input-format" if path else ""
    return ValueError(f"{option} is for a file of notes: .csv, .tsv, .jsonl, .parquet or a folder of .txt{file}")


def _run_and_text(run: str | None, text: str | None) -> tuple[str | None, str | None]:
    """Distinguish RUN from TEXT: a single argument that is not a run is the text or its file."""
    from ..expansion.note_formats import names_file
    from ..expansion.where import is_hub_id
    from ..runs.run import not_a_run

    if text == "" or (run == "" and text is None):  # such as an unset variable
        raise ValueError("The text is empty")
    if run == "":  # as a path it would be the current folder
        raise ValueError("RUN is empty: name a run, or leave it out for the reader that comes with Medalist")
    if missing := next((one for one in (run, text) if one and names_file(one) and not _exists(one)), None):
        raise FileNotFoundError(f"{missing} does not exist")
    if run is not None and text is None and not (_is_model(run) if _exists(run) else _is_path(run)):
        return None, run
    if run is None or _is_model(run) or (text is not None and is_hub_id(run)):
        return run, text
    if not (_exists(run) or _is_path(run)):  # perhaps a part of a text, which errors do not quote
        raise FileNotFoundError(
            "The first of two arguments is not a run: put the text in quotation marks, as one argument, or name a "
            "run's folder, its GGUF file or its Hub id"
        )
    if text is None and is_hub_id(run):  # which may be a text, and so must not be looked up on the Hub
        raise FileNotFoundError(
            f"{run} is not a folder: give a text after a Hub id; if it is the text, give it on standard input"
        )
    raise not_a_run(run)


def _notes(path: Path | None, table_format: TableFormat | None, **columns: Any) -> NoteFile:
    """The notes of a file, or of standard input in a format."""
    from ..expansion.note_formats import piped
    from ..expansion.notes import NoteFile

    content = piped(_standard_input(), table_format) if path is None and table_format else None
    return NoteFile(path=path or Path("Standard input"), table_format=table_format, content=content, **columns)


def _expand_text(
    content: str, run: str | None, options: dict[str, Any], *, as_json: bool, replaced: Unsure | None
) -> None:
    """Expand one text and print the result: a table, JSON, or the text with short forms replaced."""
    from ..expansion.expander import Expander
    from ..tools.progress import say
    from .expand_tables import expansions_table

    expanded = Expander.load(run, **options)(content, progress=True)
    if as_json:
        emit_json(expanded.to_dict())
    elif replaced is not None:
        emit(expanded.replaced(unsure=replaced).removesuffix("\n"))  # `emit` ends the last line
        if expanded.warnings:
            say(f"Notations advised against: {len(expanded.warnings):,}; without --replace, they are listed.")
    else:
        out.print(expansions_table(expanded))


def _expand_notes(
    source: NoteFile,
    output: Path | None,
    options: dict[str, Any],
    kind: Format | None,
    *,
    workers: int,
    ray: str | None,
) -> None:
    """Expand notes into a file, or without one to standard output, note by note."""
    from ..expansion.bulk import Reading, expand_in_turn, expand_notes
    from ..expansion.outputs import format_of, json_line
    from ..tools.progress import say
    from .expand_tables import account_table

    reading = Reading(**options)
    if output is not None:
        account = expand_notes(source, output, reading, format_of(output, kind), workers=workers, ray=ray)
        try:
            out.print(account_table(account))
        except OSError as error:
            error.add_note(f"The result in {output} is complete; only this summary could not be shown.")
            raise
        return
    for record in expand_in_turn(source, reading):
        emit_utf8(json_line(record))
    for bad in source.set_aside:
        say(f"Set aside: {bad.place}: {bad.reason}")


def _standard_input() -> IO[bytes]:
    if sys.stdin is None:  # closed by `<&-`, or in a service
        raise ValueError("Standard input is closed: give a text or a file as an argument")
    return sys.stdin.buffer


def _content(text: str | None, path: Path | None, encoding: str | None) -> str:
    """The text of a file or of standard input, decoded, or the text as given."""
    from ..expansion.note_formats import plain_text, read_text
    from ..tools.progress import say

    if path is not None:
        content, used = read_text(path, encoding)
    elif text in (None, "-"):
        content, used = plain_text(_standard_input().read(), "Standard input", encoding)
    else:
        content, used = plain_text(os.fsencode(str(text)), "The text", encoding)
    if not content.strip():
        raise ValueError("The text is empty")
    if used == "cp1252" and encoding is None:
        say("The text is not UTF-8; it was read as Windows-1252 (--encoding names another).")
    return content


def _exists(argument: str) -> bool:
    try:
        return Path(argument).exists()
    except OSError:  # a text can be too long for a name
        return False


def _is_model(argument: str) -> bool:
    """Whether an argument is a run's folder, or the name of a GGUF file."""
    from ..expansion.where import is_gguf
    from ..runs.run import is_run

    return is_gguf(argument) or is_run(Path(argument))


def _is_path(argument: str) -> bool:
    """Whether an argument is meant as a path or Hub id although nothing exists there, unlike "N/V" or "and/or"."""
    from ..expansion.where import is_hub_id

    first, slash, _ = argument.partition("/")
    if not slash or any(map(str.isspace, argument)):
        return False
    folder = first in ("", ".", "..", "~", "runs") or (_exists(first) and Path(first).is_dir())
    return folder or (is_hub_id(argument) and any(mark in argument for mark in "-_."))


VERBS = (expand,)
"""The commands that `app` registers."""
