"""The demo: the whole process with the embedded model and data, from preparing data to expanding a note."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from sysconfig import get_path

from rich.console import Console
from rich.text import Text

from ..data.embedded import sample
from ..evaluation.shares import right
from ..expansion.expander import Expander
from ..recipe import DataSettings, Recipe, TrainingSettings
from ..runs.evaluate import evaluate_run
from ..runs.prepare import prepare
from ..runs.report import write_report
from ..runs.train import start_run, train
from ..tools.files import check_place
from ..tools.pages import per_cent
from ..tools.progress import say
from .data_tables import prepared_table
from .expand_tables import expansions_table
from .options import show
from .summary_tables import summary_tables

WARD_NOTE = (
    "71 y/o F with RA on MTX, SpO2 93% on RA. CTPA: no PE. Morphine 4 mg IV given. Hx of MS. Moved from PA. "
    "NO KNOWN ALLERGIES."
)
NOTE = (
    "Seen on the ward today. Oxygen saturation is 93 percent on RA and HR is 84. Echocardiography shows a "
    "dilated RA and RV "
    "with severe pulmonary hypertension. CT angiography excluded PE. Her joints are quiet: RA is controlled "
    "with methotrexate."
)


def demo_recipe(output: Path) -> Recipe:
    """The demo's recipe, sized for 6 minutes on 2 cores: `recipes/smollm2-135m-sample.yaml` under another name."""
    return Recipe(
        name="demo",
        output=str(output),
        data=DataSettings(validation=sample.VALIDATION, test=sample.TEST, limit=148),
        training=TrainingSettings(upper_layers=15, learning_rate=1e-3, evaluate_every=19),
    )


def run_demo(output: Path, out: Console) -> None:
    """Run the demo, or only the missing steps, and print its results."""
    check_place(output, folder=True, new=False)
    say("The reader that comes with the package, on a note as it is typed")
    out.print(expansions_table(Expander.load()(WARD_NOTE)))
    say("Now a model of your own, from the start:")
    recipe = demo_recipe(output)
    say(Text.assemble(("1/5 Prepare", "bold"), ": original passages, long forms replaced by short forms"))
    out.print(prepared_table(prepare(recipe).account))
    run = start_run(recipe)
    say(Text.assemble(("2/5 Evaluate the base model", "bold"), " on held-out passages"))
    evaluate_run(run)
    say(Text.assemble(("3/5 Train", "bold"), ""))
    run = train(recipe, resume=True)
    say(Text.assemble(("4/5 Evaluate the tuned model", "bold"), " on the same passages"))
    metrics, _ = evaluate_run(run)
    report = write_report(run)
    say(Text.assemble(("5/5 Expand a short note", "bold"), ""))
    out.print(expansions_table(Expander.load(run.folder)(NOTE)))
    out.print()
    show(summary_tables(metrics), out)
    cells = metrics["slices"]["all"]
    gain = f"{per_cent(right(cells, 'base'))} -> {per_cent(right(cells, 'tuned'))}"
    out.print(Text.assemble("\nAccuracy on held-out passages: ", (gain, "bold")))
    out.print(f"Report: {report}", soft_wrap=True)
    out.print(f'Next:   {_typed()} expand {run.folder} "The MRI shows new MS plaques."', soft_wrap=True)


def _typed() -> str:
    """The command's name in the shell: its path if the environment is not active, as after `make demo`."""
    script = Path(get_path("scripts")) / "medalist"
    if shutil.which("medalist") or not script.exists():
        return "medalist"
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))
