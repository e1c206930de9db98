"""What is shown is what is meant: data is never markup, and no control character reaches a terminal.

Covers `cli.options` and `cli.tables` too.
"""

import io

import pytest
from rich.text import Text

from medalist.cli import app, options
from medalist.cli.expand_tables import expansions_table
from medalist.cli.tables import new_table
from medalist.expansion.results import ExpandedText, Expansion
from medalist.tools import progress
from medalist.tools.progress import PlainConsole, say, tracking, visible

HOSTILE = (
    "benzo[a]pyrene",
    "[/b] [bold]x[/bold]",
    ":smile:",
    "\x1b[31mred\x1b]0;title\x07",
    "a\rb\x08\x9b1m\u202ec",
    "[",
)


@pytest.fixture
def shown(monkeypatch):
    """What a terminal receives, without the colours that a table brings."""
    file = io.StringIO()
    console = PlainConsole(file=file, width=400, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "console", console)
    return file, console


@pytest.mark.parametrize("data", HOSTILE)
def test_data_is_shown_as_it_is_wherever_it_stands(data, shown):
    file, console = shown
    table = new_table(data, data, "n")
    table.add_row(data, Text(visible(data)))
    for printed in (lambda: say(data), lambda: console.print(table), lambda: console.print(data, soft_wrap=True)):
        printed()
        told = file.getvalue()
        assert visible(data) in told
        assert not set(told) & {*map(chr, range(9)), *map(chr, range(11, 32)), "\x7f", "\x9b", "\u202e"}
    assert len(visible(data)) == len(data), "offsets hold"


def test_a_progress_bar_shows_its_label_and_note_as_they_are(shown):
    file, _ = shown
    with tracking("benzo[a]pyrene [/b]", 2) as advance:
        advance(1, note="[x] \x1b]0;title\x07")
    told = file.getvalue()
    assert "benzo[a]pyrene [/b]" in told and "[x]" in told
    assert "\x1b]0" not in told


def test_an_error_shows_control_characters(capsys, monkeypatch):
    with pytest.raises(SystemExit):
        app.main(["train", "no\x1b[2J.yaml"])
    assert capsys.readouterr().err.startswith("No recipe no␛[2J.yaml")


@pytest.mark.parametrize(("terminal", "told"), [(True, "a␛[2J\n"), (False, "a\x1b[2J\n")])
def test_a_result_is_exact_in_a_file_and_visible_on_a_terminal(terminal, told, monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr("sys.stdout", file)
    monkeypatch.setattr(file, "isatty", lambda: terminal, raising=False)
    options.emit("a\x1b[2J")
    assert file.getvalue() == told


@pytest.mark.parametrize(("columns", "lines"), [(None, 1), ("40", 3)])
def test_lines_are_wrapped_only_to_a_terminal_or_a_given_width(columns, lines):
    file = io.StringIO()
    PlainConsole(file=file, _environ={} if columns is None else {"COLUMNS": columns}).print("a word " * 15 + "more")
    assert len(file.getvalue().splitlines()) == lines
    terminal = PlainConsole(file=io.StringIO(), force_terminal=True, _environ={})
    assert terminal.width < 1000


def test_a_note_with_signs_of_markup_and_control_characters_is_shown_whole(shown):
    file, console = shown
    text = "benzo[a]pyrene [/b] \x1b]0;title\x07 RA"
    start = text.index("RA")
    found = Expansion(
        start=start,
        end=start + 2,
        short_form="RA",
        key="RA",
        long_form="[/i] \x1b[2Jair",
        probability=0.9,
        alternatives=(("[bold]x", 0.1),),
        evidence="model",
        sure=True,
    )
    console.print(expansions_table(ExpandedText(text=text, expansions=(found,))))
    told = file.getvalue()
    for shown_whole in ("benzo[a]pyrene [/b] ␛]0;title␇ RA", "[/i] ␛[2Jair", "[bold]x 10%"):
        assert shown_whole in told
