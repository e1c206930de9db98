"""Exports: what is merged, what is checked before it gets its name, who opens it."""

import torch
from peft import PeftModel
from torch.testing import assert_close

from medalist.export import export_merged
from medalist.model import load_base
from medalist.runs import load_run_base, open_run


def test_merged_weights_score_as_the_adapter_beside_the_base(tiny_run, tmp_path):
    run = open_run(tiny_run)
    export = export_merged(run, tmp_path / "merged", dtype="float32", limit=10)
    beside = PeftModel.from_pretrained(load_run_base(run).model, run.tuned)
    merged = load_base(str(export.path))
    ids = torch.arange(3, 60)[None]
    with torch.inference_mode():
        assert_close(merged.model(ids).logits, beside(ids).logits, atol=1e-4, rtol=0)
    assert export.comparison.changed == 0
