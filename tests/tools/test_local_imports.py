"""bitsandbytes fetches no code."""

from __future__ import annotations

import subprocess
import sys

import pytest

FETCHING = """
try:
    from kernels import get_kernel
    get_kernel("kernels-community/anything")
except Exception:
    pass
"""
KERNELS = "import os, pathlib\ndef get_kernel(*_, **__):\n    pathlib.Path(os.environ['FETCHED']).touch()\n"


def run(folder, program):
    """Run a program with a package `kernels` that says when it is asked for something."""
    (folder / "kernels.py").write_text(KERNELS)
    environment = {
        "PYTHONPATH": f"{folder}:{':'.join(sys.path)}",
        "FETCHED": str(folder / "fetched"),
        "HOME": str(folder),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (folder / "fetched").exists(), done.stderr


@pytest.mark.parametrize("before", ["", "import kernels\n"])
def test_while_it_is_imported_there_is_no_package_to_fetch_with_and_then_there_is(tmp_path, before):
    (tmp_path / "bitsandbytes.py").write_text(FETCHING)
    ours = "from medalist.tools.local_imports import import_bitsandbytes\nimport_bitsandbytes()\n"
    after = "import bitsandbytes, kernels\nkernels.get_kernel\n"
    assert run(tmp_path, before + "import bitsandbytes\n")[0], "left alone, it fetches"
    (tmp_path / "fetched").unlink()
    assert not run(tmp_path, before + ours + after)[0]


def test_whatever_imports_it_is_preceded(tmp_path):
    """With the real bitsandbytes, which would fetch on CPUs with AVX512-BF16."""
    program = (
        "import medalist.training.trainer, medalist.models.load\n"
        "medalist.models.load.choose_precision()\n"
        "import sys; assert 'bitsandbytes' in sys.modules\nimport peft.tuners.lora.bnb\n"
    )
    fetched, err = run(tmp_path, program)
    assert not fetched and "kernels" not in err


def test_loading_a_model_imports_it_first(tmp_path):
    program = (
        "import sys\nfrom medalist.models.load import choose_precision\nassert 'peft' not in sys.modules\n"
        "choose_precision()\nassert 'bitsandbytes' in sys.modules"
    )
    assert not run(tmp_path, program)[0]


def test_the_benchmarks_import_it_before_trl_does(tmp_path):
    """So that no line about what it misses is part of a benchmark's output."""
    program = (
        "import sys\nsys.path.insert(0, 'benchmarks')\nimport common\n"
        "assert 'bitsandbytes' in sys.modules and 'trl' not in sys.modules"
    )
    assert not run(tmp_path, program)[0]
