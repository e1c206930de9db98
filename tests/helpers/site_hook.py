"""docs/site.py, the hook that makes the site, as a module."""

import importlib.util
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("docs_site", Path(__file__).parents[2] / "docs/site.py")
site = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(site)
