"""`medalist prepare`: a recipe's data, MeDAL's tables, PubMed files, or plain texts. A thin layer, like `app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..tools.progress import console as remarks
from .help import Verb, Verbs
from .options import Overrides, emit


class _RecipeByDefault(Verbs):
    """`medalist prepare recipes/mine.yaml` is `medalist prepare recipe recipes/mine.yaml`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0].endswith((".yaml", ".yml")):
            args = ["recipe", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="prepare",
    cls=_RecipeByDefault,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make marked passages from a recipe's data, MeDAL's tables, PubMed files or plain texts.\n\n"
    "Example:\n    medalist prepare recipes/smollm2-135m-sample.yaml",
)

Out = Annotated[Path, typer.Option(help="The folder to create; it must not exist yet.", show_default=False)]
Workers = Annotated[int, typer.Option(min=1, help="Number of processes. The result is byte-identical for any number.")]
Ray = Annotated[
    str | None, typer.Option(help="Run on a Ray cluster instead: auto, local, or its address (medalist[ray]).")
]
Validation = Annotated[
    float, typer.Option(min=0, max=0.9, help="Share of passages for validation, chosen by a hash of the id.")
]
Test = Annotated[
    float,
    typer.Option(min=0, max=0.9, help="Share of passages for the test split, chosen by a hash of the id."),
]
MaxBadRows = Annotated[float, typer.Option(min=0, max=1, help="Stop if more than this share of rows is malformed.")]


@app.command(cls=Verb)
def recipe(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe's YAML file.", show_default=False)],
    overrides: Overrides = None,
) -> None:
    """Read, mark and split a recipe's data, and report what was read and what was set aside and why.

    The word "recipe" may be omitted.

    Example:
        medalist prepare recipe recipes/smollm2-135m-medal.yaml data.path=abstracts.jsonl.gz
    """
    from ..recipe import load_recipe
    from ..runs.prepare import prepare
    from .data_tables import prepared_table

    prepared = prepare(load_recipe(recipe, overrides or []))
    remarks.print(prepared_table(prepared.account))
    emit(prepared.folder)


@app.command(cls=Verb)
def medal(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="MeDAL's tables (.csv, .csv.gz, .zip, .parquet), zenodo:FILE to download one (train.csv, valid.csv, "
            "test.csv, full_data.csv, pretrain_subset.zip), or hub:McGill-NLP/medal.",
            show_default=False,
        ),
    ],
    inventory: Annotated[Path, typer.Option(help="Sense table: MeDAL's valid_adam.txt.", show_default=False)],
    out: Out,
    adam: Annotated[
        Path | None, typer.Option(help="ADAM's database, whose scores of the senses go into the data card.")
    ] = None,
    as_published: Annotated[
        bool, typer.Option("--as-published", help="Keep all variants and junk senses, for comparison with other work.")
    ] = False,
    validation: Validation = 0.01,
    test: Test = 0.02,
    max_bad_rows: MaxBadRows = 0.05,
    downloads: Annotated[Path, typer.Option(help="Folder for files downloaded with zenodo:FILE.")] = Path("downloads"),
    workers: Workers = 1,
    ray: Ray = None,
) -> None:
    """Group MeDAL's shuffled rows into repaired passages with all their short forms, as Parquet with a data card.

    Tables named train, valid and test become those splits; any other table is split by a hash of the id. 3,000,000 rows
    take under 2 GiB of memory. If interrupted, run it again to resume.

    Example:
        medalist prepare medal train.csv valid.csv test.csv --inventory valid_adam.txt --out data/medal
    """
    from ..corpora.download import named_tables
    from ..corpora.medal import MedalSettings, prepare_medal
    from .data_tables import corpus_table

    settings = MedalSettings(
        inventory=inventory,
        adam=adam,
        as_published=as_published,
        validation=validation,
        test=test,
        max_bad_rows=max_bad_rows,
    )
    tables = [table for source in sources for table in named_tables(source, downloads)]
    remarks.print(corpus_table(prepare_medal(tables, out, settings, workers=workers, ray=ray)))
    emit(out)


@app.command(cls=Verb)
def pubmed(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="PubMed's .xml.gz files, JSON Lines ({pmid, sections}), or folders of them; "
            "name the baseline before the updates.",
            show_default=False,
        ),
    ],
    out: Out,
    inventory: Annotated[
        list[Path] | None,
        typer.Option(
            help="Sense inventory; repeat the option to merge several. "
            "The kind medal abbreviates the senses of the first.",
            show_default=False,
        ),
    ] = None,
    kinds: Annotated[
        str, typer.Option(help="Kinds of passages, separated by commas: medal, substituted, defined.")
    ] = "medal,substituted,defined",
    medal_probability: Annotated[
        float, typer.Option(min=0.001, max=1, help="Kind medal: chance to abbreviate an occurrence; published: 0.15.")
    ] = 0.15,
    substituted_probability: Annotated[
        float, typer.Option(min=0.001, max=1, help="Kind substituted: chance to abbreviate a long form of an abstract.")
    ] = 0.4,
    all_sections: Annotated[
        bool, typer.Option("--all-sections", help="Kind medal: use the whole abstract; published: its first section.")
    ] = False,
    min_count: Annotated[
        int, typer.Option(min=1, help="Number of training abstracts that must define a sense for it to be mined.")
    ] = 1,
    validation: Validation = 0.05,
    test: Test = 0.1,
    max_bad_rows: MaxBadRows = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of splits and substitutions.")] = 0,
    workers: Workers = 1,
    ray: Ray = None,
) -> None:
    """Make marked passages from PubMed abstracts, mine an inventory from their definitions, and write a data card.

    Kinds: medal, MeDAL's published recipe; substituted, that recipe repaired, with cased text and punctuation; defined,
    short forms as the authors wrote them, with their definitions removed. A recipe mixes them (data.kinds.shares). If
    interrupted, run it again to resume.

    Example:
        medalist prepare pubmed baseline/ updates/ --inventory valid_adam.txt --out data/pubmed
    """
    from ..corpora.pubmed import PubmedSettings, prepare_pubmed
    from ..data.kinds import KINDS
    from .data_tables import corpus_table

    chosen = tuple(kind for kind in KINDS if kind in kinds.split(","))
    if unknown := set(kinds.split(",")) - set(KINDS):
        raise ValueError(f"--kinds {kinds}: unknown kind {min(unknown)!r}. Known: {', '.join(KINDS)}")
    settings = PubmedSettings(
        inventories=tuple(inventory or ()),
        kinds=chosen,
        probability={"medal": medal_probability, "substituted": substituted_probability},
        all_sections=all_sections,
        min_count=min_count,
        validation=validation,
        test=test,
        max_bad_rows=max_bad_rows,
        seed=seed,
    )
    remarks.print(corpus_table(prepare_pubmed(sources, out, settings, workers=workers, ray=ray)))
    emit(out)


@app.command(cls=Verb)
def text(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Texts: .jsonl, .parquet or .csv (a field text, note, sections ...), .txt, folders of them, or "
            "public:NAME to download public texts: medquad, mts-dialog or aci-bench (needs git).",
            show_default=False,
        ),
    ],
    out: Out,
    inventory: Annotated[
        Path | None,
        typer.Option(help="Sense inventory; by default the note reader's, with its passages.", show_default=False),
    ] = None,
    written: Annotated[
        bool,
        typer.Option("--written/--no-written", help="Also train on the note reader's own passages and notes."),
    ] = True,
    avoid: Annotated[
        list[Path] | None,
        typer.Option(
            help="Evaluation texts: nothing that shares eight consecutive words with them is used for training. "
            "Repeat the option for several.",
            show_default=False,
        ),
    ] = None,
    times: Annotated[
        int, typer.Option(min=1, help="Choose chunks so that each sense of an ambiguous short form occurs this often.")
    ] = 40,
    turns: Annotated[int, typer.Option(min=1, help="Renderings of each chunk, with other short forms and style.")] = 3,
    most: Annotated[int, typer.Option(min=1, help="Approximate maximum number of marks of one sense.")] = 300,
    validation: Validation = 0.02,
    test: Test = 0.05,
    max_bad_rows: MaxBadRows = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of splits, chunks and renderings.")] = 0,
    downloads: Annotated[Path, typer.Option(help="Folder for texts downloaded with public:NAME.")] = Path("downloads"),
    workers: Workers = 1,
    ray: Ray = None,
) -> None:
    """Make marked passages from plain medical texts, in the style of notes, and write a data card.

    Long forms that the inventory lists are found and abbreviated; chunks are chosen so that together they cover every
    sense, rare ones first. The card says how often each sense is taught. If interrupted, run it again to resume.

    Example:
        medalist prepare text public:medquad letters/ --out data/texts --workers 2
    """
    from ..corpora.public_texts import named_texts
    from ..corpora.text_corpus import TextSettings, prepare_text
    from .data_tables import corpus_table

    settings = TextSettings(
        inventory=inventory,
        written=written,
        avoid=tuple(avoid or ()),
        times=times,
        turns=turns,
        most=most,
        validation=validation,
        test=test,
        max_bad_rows=max_bad_rows,
        seed=seed,
    )
    paths = [named_texts(source, downloads) for source in sources]
    remarks.print(corpus_table(prepare_text(paths, out, settings, workers=workers, ray=ray)))
    emit(out)
