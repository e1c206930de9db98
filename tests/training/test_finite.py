"""Steps of a GPU, run on a CPU: nothing in one waits for the device, and what is not finite is reported late."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

import medalist.training.trainer as training
import medalist.training.tune as tuning
from made_passages import PASSAGES, log_lines, run_tune
from medalist.training.batches import collate
from medalist.training.checkpoints import last_checkpoint
from medalist.training.finite import MOST_STEPS, FiniteCheck
from medalist.training.trainer import NonFiniteError, TreeTrainer
from medalist.trees.rows import SDPA_IN_ROWS, know_rows

WAITS = (
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave"),
)
"""Operators whose result, or the size of it, the host must read from the device."""


class Waits(TorchDispatchMode):
    """Notes every operator that would make the host wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.seen, self.operators = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket._qualified_op_name.removeprefix("aten::")
        self.operators += 1
        masks = args[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else ()
        if name in WAITS or any(mask is not None and mask.dtype == torch.bool for mask in masks):
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def as_on_a_gpu(loaded, monkeypatch):
    """Training as on a GPU in all but the device: attention in rows, fused AdamW, late reports."""
    monkeypatch.setattr(tuning, "runs_ahead", lambda _: True)
    know_rows()
    loaded.model.set_attn_implementation(SDPA_IN_ROWS)
    loaded.attention = SDPA_IN_ROWS

    def laid_out(items, *, attention):
        batch = collate(items, attention=attention)
        assert batch["trees"].place is not None
        return batch

    monkeypatch.setattr(tuning, "collate", laid_out)


def watch(monkeypatch):
    """Watch every step from the count of its questions to what is logged after it; one `Waits` a step."""
    steps, count, log = [], TreeTrainer._get_num_items_in_batch, TreeTrainer._maybe_log_save_evaluate

    def begin(*args):
        steps.append(Waits())
        steps[-1].__enter__()
        return count(*args)

    def end(self, *args, **kwargs):
        if len(steps) == self.state.global_step and not hasattr(steps[-1], "ended"):
            steps[-1].ended = True
            steps[-1].__exit__(None, None, None)
        return log(self, *args, **kwargs)

    monkeypatch.setattr(TreeTrainer, "_get_num_items_in_batch", begin)
    monkeypatch.setattr(TreeTrainer, "_maybe_log_save_evaluate", end)
    return steps


@pytest.mark.parametrize("more", [{}, {"prior_offset": True}, {"method": "full", "learning_rate": 1e-3}])
def test_a_step_never_makes_the_host_wait(more, as_on_a_gpu, loaded, tmp_path, monkeypatch):
    steps = watch(monkeypatch)
    run_tune(loaded, tmp_path / "run", max_steps=5, log_every=2, evaluate_every=100, passages_per_pass=4, **more)
    assert [step.seen for step in steps] == [[]] * 5
    assert all(step.operators > 200 for step in steps)


def test_the_watch_sees_the_looks_that_a_cpu_takes(loaded, tmp_path, monkeypatch):
    steps = watch(monkeypatch)
    run_tune(loaded, tmp_path / "run", max_steps=2, evaluate_every=100)
    assert all("is_nonzero" in step.seen or "_local_scalar_dense" in step.seen for step in steps)


def adapter(loaded):
    """Copies of the adapter's weights."""
    return {name: weight.detach().clone() for name, weight in loaded.model.named_parameters() if "lora_" in name}


def test_what_is_not_finite_is_reported_late_with_its_own_step_and_changes_nothing(
    as_on_a_gpu, loaded, tmp_path, monkeypatch
):
    real, before = training.question_losses, []

    def losses(*args, **kwargs):
        before.append(adapter(loaded))
        return real(*args, **kwargs) * (float("nan") if len(before) == 4 else 1.0)

    monkeypatch.setattr(training, "question_losses", losses)  # passes of 4, 4 and 3 passages, two steps an epoch
    run = tmp_path / "run"
    with pytest.raises(NonFiniteError, match=r"Loss became nan at step 3, passages \d+, \d+, \d+, \d+\. No checkpoint"):
        run_tune(loaded, run, epochs=6, log_every=6, evaluate_every=100, passages_per_pass=4)
    assert len(before) == 9, "the steps up to the next log line were run"
    assert not (run / "adapter").exists() and not list(run.glob("checkpoint-*")) and not log_lines(run, "loss")
    after = adapter(loaded)
    assert all(torch.equal(after[name], weight) for name, weight in before[3].items())
    assert any(not torch.equal(after[name], weight) for name, weight in before[0].items())


def test_a_non_finite_gradient_is_reported_before_the_next_checkpoint(as_on_a_gpu, loaded, tmp_path, monkeypatch):
    real, calls = training.score_pass, []

    def scores(*arguments):
        found = real(*arguments)
        calls.append(1)
        if len(calls) > 22:  # passes of one passage: 8 and 3 in the two steps of an epoch
            found.register_hook(lambda gradient: gradient * float("inf"))
        return found

    monkeypatch.setattr(training, "score_pass", scores)
    run = tmp_path / "run"
    with pytest.raises(NonFiniteError, match=r"Gradient norm became nan at step 5, .*checkpoint-4; resume"):
        run_tune(loaded, run, epochs=6, log_every=100)
    assert last_checkpoint(run).name == "checkpoint-4"


def test_a_run_as_on_a_gpu_learns_what_a_cpu_learns(loaded, tmp_path, monkeypatch, request):
    wanted = {"max_steps": 4, "validation": PASSAGES[:2], "log_every": 1}
    run_tune(loaded, tmp_path / "cpu", **wanted)
    loaded.model = loaded.model.unload()
    request.getfixturevalue("as_on_a_gpu")
    run_tune(loaded, tmp_path / "gpu", passages_per_pass=8, **wanted)
    for key in ("loss", "eval_nll"):
        cpu, gpu = (torch.tensor(log_lines(tmp_path / name, key)) for name in ("cpu", "gpu"))
        assert_close(gpu, cpu, atol=1e-4, rtol=1e-4)


def test_the_host_asks_after_some_steps_even_if_nothing_is_logged():
    check = FiniteCheck(late=True)
    asked = []
    for step in range(1, MOST_STEPS + 1):
        check.loss(torch.tensor(float("nan") if step == 3 else 1.0), step, [f"text {step}"])
        check.gradients(torch.tensor(1.0), step, [])
        asked.append(check.report(due=False))
    assert asked[:-1] == [None] * (MOST_STEPS - 1)
    assert (asked[-1].what, asked[-1].step, asked[-1].text_ids) == ("Loss", 3, ["text 3"])
    assert check.bad == 1


def test_a_gpu_is_asked_for_log_lines_every_tenth_step_unless_the_recipe_wants_more(as_on_a_gpu, loaded, tmp_path):
    for name, more, lines in (("ten", {}, 1), ("five", {"log_every": 5}, 2)):
        run_tune(loaded, tmp_path / name, max_steps=10, evaluate_every=100, passages_per_pass=8, **more)
        assert len(log_lines(tmp_path / name, "loss")) == lines
        loaded.model = loaded.model.unload()
