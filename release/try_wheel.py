"""Tries the wheel as installed: in an empty environment, outside of the repository, without a network, on one text.

`make dist` runs it. It says how large the package is, and stops at whatever is missing.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from importlib.metadata import files, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_SHIPPED = re.compile(r"__pycache__|\.pyc$")
NOTE = "71 y/o F with RA on MTX, SpO2 93% on RA. Give 10U insulin."


def run(*arguments: str) -> str:
    """What a command of the installed package prints, run in an empty folder and offline."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed: {done.stderr[-2000:]}")
    if "Warning" in done.stderr:
        sys.exit(f"{' '.join(arguments)} shows a library's warning: {done.stderr[-2000:]}")
    return done.stdout


def check() -> None:
    """Stop at the first thing that is not as it should be."""
    (wheel,), (sdist,) = (list((ROOT / "dist").glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    version = metadata("medalist")["Version"]
    assert version == PROJECT["version"], version
    broken = re.findall(r"\]\((?!\w+:|#)[^)]*\)", metadata("medalist").get_payload())
    assert not broken, f"links of the long description that lead nowhere on PyPI: {broken[:9]}"

    ours = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src").rglob("*") if p.is_file()}
    ours = {name for name in ours if not NOT_SHIPPED.search(name)}
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("medalist/")}
    assert shipped == ours, f"in the wheel or in src/ alone: {sorted(shipped ^ ours)[:9]}"
    assert {"medalist/py.typed", "medalist/templates/report.html", "medalist/serving/page/index.html"} <= shipped
    assert {str(file) for file in files("medalist") or ()} >= ours, "not everything is installed"
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "SECURITY.md", "pyproject.toml"}
    wanted.add("release/long_description.py")
    assert packed >= wanted | {f"src/{name}" for name in ours}, f"not in the sdist: {sorted(wanted - packed)}"

    medalist = str(Path(sys.executable).with_name("medalist"))
    found = run(sys.executable, "-c", "import medalist; print(medalist.__file__, medalist.__version__)").split()
    assert "site-packages" in found[0] and found[1] == version, found
    print(run(medalist, "--version").strip())
    answer = run(medalist, "expand", NOTE)
    for expected in ("rheumatoid arthritis", "room air", "methotrexate", "10U"):
        assert expected in answer, f"{expected!r} is not in the answer: {answer}"
    assert "clinical" in run(medalist, "evaluate", "--help")
    sizes = {path.name: path.stat().st_size / 1e6 for path in (wheel, sdist)}
    installed = sum(path.stat().st_size for file in files("medalist") or () if (path := Path(file.locate())).is_file())
    print(*(f"{name}: {size:.1f} MB" for name, size in sizes.items()), f"installed: {installed / 1e6:.1f} MB", sep="\n")


if __name__ == "__main__":
    check()
