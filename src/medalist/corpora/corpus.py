"""A corpus on disk: Parquet shards per split, an inventory and an account; interrupted builds can be resumed.

    OUT/train-00000-of-00056.parquet ...   or   OUT/<kind>/train-00000-of-00012.parquet ...
        inventory.csv  quarantine.jsonl  corpus.json  card.html

`datasets.load_dataset("parquet", data_dir=OUT)` loads it with its splits.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, TypeAdapter

from ..data.inventory import Inventory
from ..data.kinds import Kind
from ..data.passage_files import read_passages
from ..data.passages import Passage
from ..data.rows import Quarantine
from ..data.shards import shards
from ..data.splits import Split, content
from ..tools.failures import FINISHED_IS_KEPT, writing
from ..tools.files import check_place, replacing
from ..tools.locks import alone_in
from ..tools.own_folders import clear_work
from ..tools.progress import say
from ..tools.shapes import checked, json_object, write_object
from .accounts import Account

ACCOUNT = "corpus.json"
_ACCOUNT: TypeAdapter[Account] = TypeAdapter(Annotated[Account, Discriminator("source")])


@contextmanager
def building(out: Path) -> Iterator[None]:
    """Build a corpus at `out` under a lock; if the disk fills up, the error names `out` and says how to resume.

    Raises:
        FileExistsError: `out` exists.
        OSError: `out` cannot be written, or the disk is full.
        BusyError: another command is building it.
    """
    check_place(out, folder=True)
    with writing(out, FINISHED_IS_KEPT), alone_in(out):
        try:
            yield
        except BaseException:
            _remove_if_empty(_work_of(out))
            raise


def _work_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.work")


def _remove_if_empty(work: Path) -> None:
    """Remove a work folder in which nothing is finished yet."""
    names = {path.name for path in work.rglob("*") if not path.is_dir()}
    if names == {"settings.json"}:
        shutil.rmtree(work)


def work_folder(out: Path, settings: Mapping[str, object]) -> Path:
    """The folder in which `out` is built: `.OUT.work` next to it, with the results of an earlier, interrupted call.

    Args:
        out: the folder of the finished corpus; it must not exist yet.
        settings: everything that determines the result; work started with other settings is discarded.

    Raises:
        ValueError: the shares of validation and test leave nothing for training.
        FileExistsError: something else has the work folder's name.
    """
    if float(str(settings["validation"])) + float(str(settings["test"])) >= 1:
        raise ValueError(f"validation {settings['validation']} and test {settings['test']} leave nothing to train on")
    out = out.absolute()  # workers may have another working directory
    work, text = _work_of(out), json.dumps(settings, indent=1, sort_keys=True)
    begun = work / "settings.json"
    if begun.is_file() and begun.read_bytes() == text.encode():
        say(f"Resuming from {work}")
        return work
    clear_work(work, keys=("files", "validation", "test"))
    with replacing(begun) as file:
        file.write(text)
    return work


def write_account(account: Account, work: Path) -> None:
    """Write the account, which marks the work as complete; only `finish` remains to be called."""
    write_object(work / ACCOUNT, account)


def finish(work: Path, out: Path, *, leave_out: tuple[str, ...]) -> Account:
    """Remove intermediate files, rename the work folder to `out`, and return the account."""
    for name in leave_out:
        path = work / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for left in list(work.rglob(".*")):  # partial files left by killed workers
        left.unlink()
    work.rename(out)
    (out / "settings.json").unlink()  # only now: until the rename, the settings are needed to resume
    return read_account(out)


def read_account(folder: Path) -> Account:
    """The account of a corpus.

    Raises:
        ValueError: it is not valid JSON, or does not match the schema.
    """
    path, remedy = folder / ACCOUNT, "Prepare the corpus again, with `medalist prepare`."
    return checked(path, _ACCOUNT, json_object(path, remedy=remedy), remedy=remedy)


def is_corpus(folder: Path) -> bool:
    """Whether a folder is a corpus."""
    return (folder / ACCOUNT).exists()


def corpus_inventory(folder: Path) -> Inventory:
    """The inventory of a corpus, with the origin recorded in its account."""
    return replace(Inventory.read(folder / "inventory.csv"), origin=read_account(folder)["inventory"]["origin"])


def read_json(path: Path) -> Any:
    """Read a file that `write_json` wrote during the build."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(record: object, path: Path) -> None:
    """Write an intermediate result atomically."""
    with replacing(path) as file:
        json.dump(record, file, ensure_ascii=False)


def content_key(text: str) -> int:
    """A 64-bit hash of the words of a text; see `content`."""
    return int.from_bytes(hashlib.blake2b(content(text).encode(), digest_size=8).digest())


def mixed(
    folder: Path, split: Split, inventory: Inventory, shares: Mapping[Kind, float], *, seed: int
) -> Iterator[Passage]:
    """The passages of a split, each abstract once: in a kind drawn at random, or else in the next kind that has it.

    Args:
        folder: a corpus with several kinds.
        split: the split to read.
        inventory: as for `read_passages`.
        shares: kind -> relative share of the abstracts.
        seed: together with the abstract's id, determines the draw.
    """
    kinds = list(shares)
    for name in sorted({path.name for kind in kinds for path in shards(folder / kind, split)}):
        made: dict[str, dict[Kind, Passage]] = {}
        for kind in kinds:
            if (path := folder / kind / name).exists():
                for passage in read_passages(path, inventory, Quarantine(limit=0)):
                    made.setdefault(passage.id, {})[kind] = passage
        # Shuffled, so that the first passages are of every kind; a single kind keeps the order of its file.
        order = made if len(kinds) == 1 else sorted(made, key=lambda name: hashlib.sha256(name.encode()).digest())
        for identifier in order:
            found = made[identifier]
            draw = random.Random(f"{seed}:kind:{identifier}")
            first = draw.choices(kinds, weights=[shares[kind] for kind in kinds])[0]
            at = kinds.index(first)
            yield next(found[kind] for kind in (*kinds[at:], *kinds[:at]) if kind in found)
