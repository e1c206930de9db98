"""Publishing to a stand-in of the Hub with its real client, and pulling back: what arrives, what breaks, what is never
sent.

Covers `pull`, `repeat`, `cli.share`, `cli.share_tables` and `tools.hub_client` too.
"""

import base64
import gzip
import hashlib
import importlib
import io
import json
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from hub_server import ModelHub
from medalist.cli.app import main
from medalist.data.embedded import clinical, reader
from medalist.evaluation.result_files import read_metrics
from medalist.recipe import parse_recipe
from medalist.runs.evaluate import evaluate_run
from medalist.runs.held_out import HeldOut
from medalist.runs.run import open_run
from medalist.runs.train import train
from medalist.sharing.export import export_merged
from medalist.sharing.publish import publish
from medalist.sharing.pull import pull
from medalist.sharing.repeat import repeat_evaluations
from medalist.tools import hub_client
from medalist.trees.decisions import Calibration
from servers import Answer, direct_connections, serving, use_hub

pulling = importlib.import_module("medalist.sharing.pull")
"""Its function has the same name."""
TOKEN = "hf_stand_in"
NAMED = {"base_id": "tests/tiny-llama", "licence": "mit"}
TO_ME = ("--repo", "me/small", "--base-id", "tests/tiny-llama", "--license", "mit")


@pytest.fixture(scope="module")
def small_run(model_folder, tmp_path_factory):
    """A run on a few passages of the sample corpus, evaluated."""
    values = {
        "name": "small",
        "output": str(tmp_path_factory.mktemp("hub") / "runs"),
        "model": {"base": str(model_folder)},
    }
    few = [
        "data.limit=6",
        "data.limit_validation=1",
        "data.limit_test=4",
        "training.max_steps=1",
        "evaluation.bootstrap=100",
    ]
    run = train(parse_recipe(values, few))
    evaluate_run(run)
    return run.folder


@pytest.fixture
def run(small_run, tmp_path):
    """A copy of it that a test may change."""
    shutil.copytree(small_run, tmp_path / "runs/small")
    (tmp_path / "data").symlink_to(
        small_run.parent.parent / "data"
    )  # runs pulled to tmp_path / "runs" find it prepared
    return open_run(tmp_path / "runs/small")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty stand-in, and a user who is logged in; nobody waits between tries."""
    hub = ModelHub()
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with direct_connections(), serving(hub, reads=hub.reads) as server:
        use_hub(server.url, tmp_path / "hf", monkeypatch)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        hub.served = server
        yield hub


def received(hub):
    """Everything that ever reached the server, large files too."""
    told = [
        part for r in hub.served.requests for part in (r.path.encode(), r.body, *map(str.encode, r.headers.values()))
    ]
    decoded = [
        line["value"]["content"]
        for r in hub.served.requests
        if "/commit/" in r.path
        for line in map(json.loads, r.body.splitlines())
        if line["key"] == "file"
    ]
    return b"\n".join([*told, *map(base64.b64decode, decoded), *hub.objects.values()])


def command(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code or 0
    return code, *capsys.readouterr()


def one_line(capsys, *arguments):
    """The message of a command that fails, after what it listed."""
    code, _, err = command(capsys, *arguments)
    assert code == 1, err
    assert "Traceback" not in err
    return err.rstrip("\n").rsplit("\n", 1)[-1]


def test_what_is_published_is_what_lies_here_in_one_commit(run, hub):
    done = publish(run, "me/small", **NAMED)
    repo = hub.repos["me/small"]
    assert done.url.endswith("/me/small")
    assert len(repo.commits) == 2, "the empty repository, and one commit with everything"
    assert done.commit == repo.oid()
    sent = {name: content for name, content in repo.files.items() if name != ".gitattributes"}
    assert sent.keys() == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "evaluation/test/metrics.json",
        "inventory.csv", "recipe.yaml", "tokenizer.json", "tokenizer_config.json", "trained_senses.csv",
    }  # fmt: skip
    for name in ("adapter_model.safetensors", "tokenizer.json"):
        assert sent[name] == (run.tuned / name).read_bytes()
    for name in ("inventory.csv", "trained_senses.csv"):
        assert sent[name] == (run.folder / name).read_bytes()
    config = json.loads(sent["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("tests/tiny-llama", None)
    assert sent["README.md"].decode() == done.publication.card
    weights = hashlib.sha256(sent["adapter_model.safetensors"]).hexdigest()
    assert [r.method for r in hub.served.asked(f"/lfs/{weights}")] == ["PUT", "POST"], "the upload, and its check"


def test_a_large_file_goes_in_parts(run, hub):
    hub.part = 10_000
    publish(run, "me/small", **NAMED)
    content = (run.tuned / "adapter_model.safetensors").read_bytes()
    parts = [r for r in hub.served.asked("/part/") if r.method == "PUT"]
    assert len(parts) == -(-len(content) // 10_000) > 1
    assert b"".join(r.body for r in parts) == content
    assert hub.repos["me/small"].files["adapter_model.safetensors"] == content


def test_publishing_again_makes_a_commit_only_if_something_has_changed(run, hub, capsys):
    arguments = ["publish", run.folder, *TO_ME, "--yes"]
    assert command(capsys, *arguments)[0] == 0
    code, out, err = command(capsys, *arguments)
    assert (code, out) == (0, f"{hub.served.url}/me/small\n")
    assert "Nothing has changed" in err
    repo = hub.repos["me/small"]
    assert len(repo.commits) == 2
    (run.folder / "trained_senses.csv").unlink()
    assert publish(open_run(run.folder), "me/small", **NAMED).changed
    assert len(repo.commits) == 3
    assert "trained_senses.csv" not in repo.files, "what is no longer part of it is taken away"


def test_a_repository_is_private_unless_asked_for_and_a_public_one_is_not_taken_for_private(run, hub):
    publish(run, "me/small", **NAMED)
    assert hub.repos["me/small"].private
    publish(run, "me/open", public=True, **NAMED)
    assert not hub.repos["me/open"].private
    with pytest.raises(ValueError, match=r"me/open already exists and is public: .* add --public"):
        publish(run, "me/open", **NAMED)


@pytest.mark.parametrize(("answer", "terminal"), [("n", True), ("", True), (None, False)])
def test_nothing_is_sent_without_a_yes(run, hub, capsys, monkeypatch, answer, terminal):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{answer}\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: terminal, raising=False)
    arguments = ["publish", run.folder, *TO_ME]
    code, _, err = command(capsys, *arguments)
    assert code == 1 and err.endswith("Nothing was sent. Answer y, or add --yes\n")
    assert "adapter_model.safetensors" in err, "the list comes first"
    assert hub.served.requests == []
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert command(capsys, *arguments)[0] == 0
    assert hub.repos["me/small"].private


@pytest.mark.parametrize(
    "where", ["GET /api/whoami-v2", "POST /api/repos/create", "GET /api/models/me/small", "POST /api/validate-yaml",
              "POST /api/models/me/small/preupload", "/info/lfs/objects/batch", "PUT /lfs/", "/verify", "/commit/main"],
)  # fmt: skip
def test_a_transient_server_error_is_tried_again(run, hub, where):
    hub.faults = [(where, Answer(500, b"Internal Server Error"))]
    publish(run, "me/small", **NAMED)
    assert hub.faults == [], "the error was met"
    assert len(hub.repos["me/small"].commits) == 2


def test_a_commit_whose_answer_is_lost_is_not_made_twice(run, hub):
    answered = hub._commit

    def lost(*arguments):
        hub._commit = answered
        answered(*arguments)
        return Answer(502)

    hub._commit = lost
    publish(run, "me/small", **NAMED)
    assert len(hub.repos["me/small"].commits) == 2


def test_trouble_that_stays_ends_in_one_line(run, hub, capsys):
    hub.faults = [("/commit/main", Answer(503))] * 20
    message = one_line(capsys, "publish", run.folder, *TO_ME, "--yes")
    assert message == "me/small: the Hub returned 503: try again later."
    assert len(hub.faults) == 20 - 1 - len(hub_client.WAITS)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "the response did not come from the Hub; is HF_ENDPOINT correct?"),
        (b'{"id": 5, "siblings": [{}]}', "the response did not come from the Hub; is HF_ENDPOINT correct?"),
        (b'{"id": "me/x", "sha": "../x", "siblings": []}', "the response did not come from the Hub"),
    ],
)
def test_an_answer_of_something_else_than_the_hub_is_one_line(hub, capsys, tmp_path, body, message):
    hub.faults = [("GET /api/models/me/x", Answer(body=body, headers={"Content-Type": "application/json"}))]
    assert message in one_line(capsys, "pull", "me/x", "--out", tmp_path / "x")


def _compressed(content):
    return Answer(body=gzip.compress(content), headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("where", "answers", "why"),
    [
        ("GET /api/models/me/x", [_compressed(b" " * 1_000_000)], "it is compressed, unasked"),
        ("GET /api/models/me/x", [Answer(body=b"[" + b" " * 5000, says_length=False)], "more than 5 kB"),
        ("/tree/", [Answer(body=b"[]", headers={"Link": '</api/models/me/x/tree/x?cursor=1>; rel="next"'})] * 9,
         "more than 5 answers"),
        ("HEAD /me/x/resolve", [Answer(headers={"ETag": '"../../../evil"', "X-Repo-Commit": "0" * 40})],
         "its ETag is malformed"),
        ("HEAD /me/x/resolve", [Answer(headers={"ETag": '""', "X-Repo-Commit": "0" * 40})], "its ETag is malformed"),
        ("GET /me/x/resolve", [Answer(body=b"x" * 2000, says_length=False)], "a file of more than 1 kB"),
        ("GET /me/x/resolve", [Answer(body=b"x" * 2000)], "a file of more than 1 kB"),
    ],
)  # fmt: skip
def test_a_server_that_would_fill_memory_or_disk_or_leave_the_cache_is_not_the_hub(
    hub, capsys, tmp_path, monkeypatch, where, answers, why
):
    monkeypatch.setattr(hub_client, "_MOST_ANSWERS", 5)
    monkeypatch.setattr(hub_client, "_MOST_SAID", 5000)
    monkeypatch.setattr(pulling, "MAX_BYTES", {"": 1000})
    hub.add("me/x", {"recipe.yaml": b"name: x\n"})
    host = hub.served.url
    hub.faults = [
        (where, replace(one, headers={name: value.replace("</", f"<{host}/") for name, value in one.headers.items()}))
        for one in answers
    ]
    message = one_line(capsys, "pull", "me/x", "--out", tmp_path / "x")
    assert message == f"me/x: the response did not come from the Hub; is HF_ENDPOINT correct? ({why})"
    assert not list(tmp_path.rglob("*evil*")) and not (tmp_path / "x").exists()


@pytest.mark.parametrize("cut", [0, 3])
def test_a_server_that_falls_silent_is_not_waited_for_for_ever(hub, capsys, tmp_path, monkeypatch, cut):
    monkeypatch.setattr(hub_client, "_PATIENCE", 0.1)
    hub.faults = [("GET /api/models/me/x", Answer(body=b"[" + b" " * 10, cut=cut, stall=True))] * 4
    message = one_line(capsys, "pull", "me/x", "--out", tmp_path / "x")
    assert "the connection to the Hub failed or was lost (ReadTimeout" in message and hub.faults == []


def test_a_server_that_says_the_token_back_does_not_get_it_printed(hub, capsys, tmp_path):
    told = {"X-Error-Message": f"wrong: Bearer {TOKEN}"}
    hub.faults = [("GET /api/models/me/x", Answer(403, b"{}", told))]
    message = one_line(capsys, "pull", "me/x", "--out", tmp_path / "x")
    assert "wrong: Bearer …" in message and TOKEN not in message


def test_a_connection_cut_in_the_upload_leaves_nothing_to_be_seen_and_the_same_command_completes_it(run, hub, capsys):
    hub.cuts = [("PUT /lfs/", 5_000)] * 6
    arguments = ["publish", run.folder, *TO_ME, "--yes"]
    message = one_line(capsys, *arguments)
    assert message.startswith("me/small: the connection to the Hub failed or was lost")
    assert message.endswith("Run the same command again: files that have arrived are not sent again.")
    assert hub.cuts == []
    assert list(hub.repos["me/small"].files) == [".gitattributes"]
    assert command(capsys, *arguments)[0] == 0
    assert "adapter_model.safetensors" in hub.repos["me/small"].files


def test_what_has_arrived_is_not_sent_again(run, hub):
    hub.cuts = [("POST /api/models/me/small/commit", 100)] * 4
    with pytest.raises(OSError, match="failed or was lost"):
        publish(run, "me/small", **NAMED)
    assert list(hub.repos["me/small"].files) == [".gitattributes"]
    before = len(hub.served.asked("/lfs/"))
    publish(run, "me/small", **NAMED)
    assert [r.path for r in hub.served.requests[-20:] if r.method == "PUT"] == []
    assert len([r for r in hub.served.asked("/lfs/") if r.method == "PUT"]) == 1 <= before


@pytest.mark.parametrize(
    ("token", "repo", "message"),
    [
        ("hf_expired", "me/small", "The Hub rejected the token: it has expired or was revoked. Run `hf auth login`."),
        (TOKEN, "you/small", "The token does not have write access to you/small (You don't have the rights to create a "
         "model under the namespace 'you'): choose a name under your own account, or log in with a token that has "
         "write permission (`hf auth login`)."),
        (TOKEN, "you/theirs", "The token does not have write access to you/theirs (you must use a write token with "
         "access to this repository"),
        (TOKEN, "me/other", "me/other already contains another model (model.safetensors): name another repository."),
        (TOKEN, "small", '"small" is not a valid Hub repository: use user/name, with letters, digits, "-", "_" and '
         '"."'),
    ],
)  # fmt: skip
def test_a_refusal_is_one_line_and_nothing_is_written(run, hub, capsys, monkeypatch, token, repo, message):
    monkeypatch.setenv("HF_TOKEN", token)
    hub.add("you/theirs", {"README.md": b"---\ntags: [medalist]\n---\n"})
    hub.add("me/other", {"model.safetensors": b"weights"})
    named = ["--base-id", "t/t", "--license", "mit", "--yes", "--public"]
    found = one_line(capsys, "publish", run.folder, "--repo", repo, *named)
    assert found.startswith(message)
    assert all(len(there.commits) == 1 for there in hub.repos.values())
    assert token not in found


def test_without_a_token_and_without_a_server_it_says_so(run, hub, capsys, monkeypatch, tmp_path):
    arguments = ["publish", run.folder, *TO_ME, "--yes"]
    monkeypatch.delenv("HF_TOKEN")
    assert one_line(capsys, *arguments) == "No Hub token found: run `hf auth login`, or set HF_TOKEN."
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    use_hub("http://127.0.0.1:9", tmp_path / "hf", monkeypatch)
    assert "the connection to the Hub failed or was lost (ConnectError" in one_line(capsys, *arguments)
    assert "the connection to the Hub failed or was lost" in one_line(
        capsys, "pull", "me/small", "--out", tmp_path / "x"
    )


def test_a_repository_changed_meanwhile_is_not_overwritten(run, hub):
    publish(run, "me/small", **NAMED)
    repo, answered = hub.repos["me/small"], hub._mode

    def meanwhile(*arguments):
        hub._mode = answered
        repo.commits.append(repo.files | {"theirs.txt": b"x"})
        repo.messages.append("someone else")
        return answered(*arguments)

    hub._mode = meanwhile
    (run.folder / "trained_senses.csv").unlink()
    with pytest.raises(ValueError, match=r"Someone else changed .* in the meantime"):
        publish(open_run(run.folder), "me/small", **NAMED)
    assert "theirs.txt" in repo.files


def test_a_dry_run_shows_list_and_card_and_asks_nobody(run, hub, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    code, out, err = command(capsys, "publish", run.folder, *TO_ME, "--dry-run")
    assert code == 0
    assert hub.served.requests == []
    size = (run.tuned / "adapter_model.safetensors").stat().st_size
    assert re.search(rf"adapter_model\.safetensors +{size:,}", err)
    assert out.startswith("---\n") and "\n# small\n" in out


def test_the_token_is_in_no_output_and_no_file(run, hub, capsys):
    hub.faults = [("/commit/main", Answer(500)), ("PUT /lfs/", Answer(500))]
    arguments = ["publish", run.folder, *TO_ME, "--yes"]
    code, out, err = command(capsys, *arguments)
    assert code == 0 and hub.faults == []
    assert TOKEN not in out + err
    assert not any(TOKEN.encode() in path.read_bytes() for path in run.folder.rglob("*") if path.is_file())
    assert not any(TOKEN.encode() in content for content in hub.repos["me/small"].files.values())


def test_nothing_published_names_a_folder_of_this_machine(run, hub, model_folder):
    publish(run, "me/small", include=["predictions"], **NAMED)
    sent = received(hub)
    assert b"tests/tiny-llama" in sent
    for place in (
        run.folder,
        run.folder.parent.parent,
        model_folder,
        model_folder.parent,
        run.record["data"]["folder"],
    ):
        assert str(place).encode() not in sent


def test_merged_weights_are_published_checked_and_made_only_once(run, hub, monkeypatch):
    publish(run, "me/small", merged=True, **NAMED)
    files = hub.repos["me/small"].files
    exported = run.folder / "export/small-bfloat16"
    assert files["model.safetensors"] == (exported / "model.safetensors").read_bytes()
    assert "adapter_model.safetensors" not in files
    assert "The adapter is merged into the base's own weights and stored as bfloat16" in files["README.md"].decode()
    monkeypatch.setattr("medalist.sharing.publish.export_merged", lambda *_, **__: pytest.fail("merged again"))
    assert not publish(run, "me/small", merged=True, **NAMED).changed
    monkeypatch.setattr("medalist.sharing.publish.export_merged", export_merged)
    (exported / "model.safetensors").write_bytes(b"something else")
    assert not publish(run, "me/small", merged=True, **NAMED).changed, "made anew where it is not what was checked"


def test_an_adapter_that_follows_merged_weights_replaces_them(run, hub):
    publish(run, "me/small", merged=True, **NAMED)
    publish(run, "me/small", **NAMED)
    files = hub.repos["me/small"].files
    assert "adapter_model.safetensors" in files
    assert not {"model.safetensors", "config.json"} & set(files)


def test_a_pulled_run_opens_anywhere_and_gives_its_evaluation_again(run, hub, model_folder, tmp_path, capsys):
    publish(run, "me/small", **NAMED)
    out = tmp_path / "elsewhere/runs/again"
    code, printed, err = command(capsys, "pull", "me/small", "--out", out, "--base", model_folder)
    assert (code, printed) == (0, f"{out}\n"), err
    assert command(capsys, "report", out)[0] == 0, "before it is evaluated here"
    pulled = open_run(out)
    assert (pulled.recipe.data, pulled.recipe.training) == (run.recipe.data, run.recipe.training)
    assert pulled.record["data"]["folder"].startswith(str(tmp_path / "elsewhere/data/sample-"))
    (repeated,) = repeat_evaluations(pulled)
    assert (repeated.data, repeated.largest) == ("test", 0)
    before, after = (json.loads((f / "evaluation/test/metrics.json").read_text()) for f in (run.folder, out))
    assert list(numbers(after)) == pytest.approx(list(numbers(before)), abs=1e-4)
    assert after["about"]["keys"] == before["about"]["keys"]
    assert command(capsys, "expand", out, "Seen with RA.")[0] == 0


def numbers(value):
    """Every figure in nested values."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from numbers(inner)
    elif isinstance(value, int | float):
        yield value


def test_a_calibration_goes_along_and_comes_back(run, hub, model_folder, tmp_path):
    shutil.copyfile(reader.HERE / "calibration.json", run.folder / "calibration.json")
    metrics, _ = evaluate_run(open_run(run.folder))
    publish(open_run(run.folder), "me/small", **NAMED)
    assert hub.repos["me/small"].files["calibration.json"] == (reader.HERE / "calibration.json").read_bytes()
    pulled = pull("me/small", out=tmp_path / "runs/again", base=str(model_folder))
    assert pulled.calibration == Calibration.read(reader.HERE / "calibration.json")
    assert read_metrics(pulled.folder / "evaluation/test")["calibrated"] == metrics["calibrated"]
    (repeated,) = repeat_evaluations(pulled)
    assert repeated.largest < 1e-4
    replace(pulled.calibration, evidence=0.1).write(pulled.folder / "calibration.json")
    (repeated,) = repeat_evaluations(open_run(pulled.folder))
    assert repeated.largest > 1e-3 and repeated.where.startswith("calibrated."), "its figures are checked too"


def test_evaluations_of_all_embedded_notes_are_repeated_and_those_of_part_of_them_are_not(
    run, hub, model_folder, tmp_path, capsys, monkeypatch
):
    for name, size, limit in (("clinical-look-alikes", 3, None), ("clinical-blind", 4, 3)):
        few = tmp_path / f"{name}.jsonl"
        few.write_text("".join(clinical.NOTES[name].read_text(encoding="utf-8").splitlines(keepends=True)[:size]))
        monkeypatch.setitem(clinical.NOTES, name, few)  # all of them take minutes
        evaluate_run(run, HeldOut(data=Path(name), limit=limit))
    publish(open_run(run.folder), "me/small", **NAMED)
    pulled = pull("me/small", out=tmp_path / "runs/again", base=str(model_folder))
    found = repeat_evaluations(pulled)
    assert {one.data: one.largest < 1e-4 for one in found} == {"test": True, "clinical-look-alikes": True}
    assert "clinical-blind: published of 3 passages, and 4 are here" in capsys.readouterr().err


def test_a_pulled_run_that_gives_other_figures_is_told(run, hub, model_folder, tmp_path, capsys):
    metrics = json.loads((run.folder / "evaluation/test/metrics.json").read_text())
    metrics["slices"]["all"]["tuned"]["value"] += 0.01
    (run.folder / "evaluation/test/metrics.json").write_text(json.dumps(metrics))
    publish(run, "me/small", **NAMED)
    message = one_line(capsys, "pull", "me/small", "--out", tmp_path / "runs/x", "--base", model_folder, "--check")
    assert "largest difference 0.01 (slices.all.tuned.value): differs from the published figure by more than" in message


def test_merged_weights_are_pulled_as_a_run_too(run, hub, model_folder, tmp_path):
    publish(run, "me/small", merged=True, dtype="float32", **NAMED)
    pulled = pull("me/small", out=tmp_path / "runs/again", base=str(model_folder))
    assert not pulled.is_adapter and pulled.tuned.name == "model"
    (repeated,) = repeat_evaluations(pulled)
    assert repeated.largest < 1e-4


def test_the_base_comes_from_the_hub_by_the_id_that_was_published(run, hub, model_folder, tmp_path):
    hub.add("tests/tiny-llama", {path.name: path.read_bytes() for path in model_folder.iterdir()})
    publish(run, "me/small", **NAMED)
    (repeated,) = repeat_evaluations(pull("me/small", out=tmp_path / "runs/again"))
    assert repeated.largest < 1e-4
    assert hub.served.asked("/tests/tiny-llama/resolve/")


def test_another_base_is_refused_by_its_hash(run, hub, model_folder, tmp_path, capsys):
    publish(run, "me/small", **NAMED)
    shutil.copytree(model_folder, tmp_path / "other")
    shutil.copy(model_folder / "model.safetensors", tmp_path / "other/model2.safetensors")
    message = one_line(capsys, "pull", "me/small", "--out", tmp_path / "runs/x", "--base", tmp_path / "other")
    assert re.fullmatch(
        r".*/other has the weights .*…, not .*… of tests/tiny-llama that me/small was tuned on", message
    )
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small"]


def test_weights_that_are_not_those_published_are_refused(run, hub, model_folder, tmp_path):
    publish(run, "me/small", **NAMED)
    files = hub.repos["me/small"].files
    files["adapter_model.safetensors"] = files["adapter_model.safetensors"][:-4] + b"\0\0\0\1"
    with pytest.raises(ValueError, match=r"me/small does not contain the adapter_model.safetensors that its recipe"):
        pull("me/small", out=tmp_path / "runs/x", base=str(model_folder))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small"]


def tampered(files, **changes):
    """Change the record of a published run; a stranger's hashes fit their files."""
    values = yaml.safe_load(files["recipe.yaml"])
    listed = values["record"]["published"].setdefault("files", {})
    for name in set(listed) & set(files):
        listed[name] = hashlib.sha256(files[name]).hexdigest()
    for key, value in changes.items():
        values["record"][key] = value
    files["recipe.yaml"] = yaml.safe_dump(values).encode()


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("inventory.csv", b"rheumatoid arthritis", b"right atrium"),
        ("trained_senses.csv", b"left atrium", b"right atrium"),
        ("adapter_config.json", b'"lora_alpha": 32', b'"lora_alpha": 999'),
        ("evaluation/test/metrics.json", b'"mentions"', b'"mention"'),
        ("tokenizer.json", b"the", b"teh"),
    ],
)
def test_any_file_that_is_not_the_one_published_is_refused(run, hub, model_folder, tmp_path, name, before, after):
    publish(run, "me/small", **NAMED)
    files = hub.repos["me/small"].files
    assert before in files[name]
    files[name] = files[name].replace(before, after)
    with pytest.raises(ValueError, match=rf"me/small does not contain the {name} that its recipe.yaml records"):
        pull("me/small", out=tmp_path / "runs/x", base=str(model_folder))
    del files[name]
    with pytest.raises(ValueError, match=rf"me/small does not contain the {name} that its recipe.yaml records"):
        pull("me/small", out=tmp_path / "runs/x", base=str(model_folder))
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small"]


def test_no_code_and_no_setting_that_names_code_is_pulled(run, hub, model_folder, tmp_path):
    publish(run, "me/small", merged=True, dtype="float32", **NAMED)
    files = hub.repos["me/small"].files
    evil = {"auto_map": {"AutoTokenizer": "tokenizer_evil.Evil"}}
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        files[name] = json.dumps(json.loads(files[name]) | evil).encode()
    names = ("tokenizer_evil.py", "vocab.py", "chat_template.py", "evaluation/test/x/metrics.json", "adapter/x.py")
    files |= dict.fromkeys(names, b"raise SystemExit")
    tampered(files)
    pulled = pull("me/small", out=tmp_path / "runs/x", base=str(model_folder))
    there = [path for path in pulled.folder.rglob("*") if path.is_file()]
    assert not [path.name for path in there if path.suffix == ".py"]
    assert not [path.name for path in there if b"auto_map" in path.read_bytes()]
    tampered(files)
    values = yaml.safe_load(files["recipe.yaml"])
    for name in ("tokenizer_evil.py", "../../x.json", "evaluation/test/x/metrics.json", "recipe.yaml"):
        values["record"]["published"]["files"] = {name: "0" * 64}
        files["recipe.yaml"] = yaml.safe_dump(values).encode()
        with pytest.raises(ValueError, match=r"me/small records .*, which Medalist does not publish"):
            pull("me/small", out=tmp_path / "runs/y", base=str(model_folder))


def test_a_strangers_adapter_is_pulled_by_its_plain_settings_alone(run, hub, model_folder, tmp_path):
    publish(run, "me/small", **NAMED)
    files = hub.repos["me/small"].files
    before = files["adapter_config.json"]
    files["adapter_config.json"] = json.dumps(json.loads(before) | {"megatron_core": "evil.module"}).encode()
    tampered(files)
    pulled = pull("me/small", out=tmp_path / "runs/x", base=str(model_folder))
    assert "megatron" not in (pulled.tuned / "adapter_config.json").read_text()
    assert json.loads((pulled.tuned / "adapter_config.json").read_text())["r"] == json.loads(before)["r"]
    for wrong in ({"target_modules": "(a+)+$"}, {"r": 2_000_000}):
        files["adapter_config.json"] = json.dumps(json.loads(before) | wrong).encode()
        tampered(files)
        with pytest.raises(ValueError, match=r"adapter_config.json: (r|target_modules) must be"):
            pull("me/small", out=tmp_path / "runs/y", base=str(model_folder))


def test_a_published_figure_that_is_no_number_is_never_as_published(run, hub, model_folder, tmp_path, capsys):
    publish(run, "me/small", **NAMED)
    files = hub.repos["me/small"].files
    for where, wrong in (("counts", b"NaN"), ("slices", b"1e999")):
        metrics = json.loads(files["evaluation/test/metrics.json"])
        first = metrics[where] if where == "counts" else metrics[where]["all"]["tuned"]
        key = "mentions" if where == "counts" else "value"
        first[key] = 123456789
        files["evaluation/test/metrics.json"] = json.dumps(metrics).encode().replace(b"123456789", wrong)
        tampered(files)
        message = one_line(
            capsys, "pull", "me/small", "--out", tmp_path / f"runs/{where}", "--base", model_folder, "--check"
        )
        assert "as published" not in message
        assert "NaN is not a number of JSON" in message or "is too large for a number" in message


def test_a_strangers_evaluation_makes_no_report_open_a_file(run, hub, model_folder, tmp_path, capsys):
    secret = tmp_path / "secret.jsonl"
    mark = {"start": 10, "end": 12, "long_form": "room air"}
    secret.write_text(json.dumps({"id": "1", "text": "Zibbelworth RA.", "mentions": [mark | {"start": 12, "end": 14}]}))
    publish(run, "me/small", include=["predictions"], **NAMED)
    files = hub.repos["me/small"].files
    metrics = json.loads(files["evaluation/test/metrics.json"])
    for key in ("file", "inventory_file"):
        metrics["about"][key] = str(secret)
    files["evaluation/test/metrics.json"] = json.dumps(metrics).encode()
    tampered(files)
    pulled = pull("me/small", out=tmp_path / "runs/x", base=str(model_folder))
    assert str(tmp_path) not in (pulled.folder / "evaluation/test/metrics.json").read_text()
    assert command(capsys, "report", pulled.folder)[0] == 0
    assert "Zibbelworth" not in (pulled.folder / "report.html").read_text()


def test_a_strangers_recipe_keeps_no_path(run, hub, model_folder, tmp_path):
    publish(run, "me/small", **NAMED)
    files = hub.repos["me/small"].files
    values = yaml.safe_load(files["recipe.yaml"])
    values["data"] |= {"source": "table", "path": "/etc/notes.jsonl", "inventory": "../own.csv", "beside": ["/etc/x"]}
    values["model"]["parent"] = str(run.folder)
    values["record"] |= {"data": values["record"]["data"] | {"folder": "/etc"}, "evil": "/etc"}
    files["recipe.yaml"] = yaml.safe_dump(values).encode()
    pulled = pull("me/small", out=tmp_path / "runs/x", base=str(model_folder))
    assert pulled.recipe.data.path == "notes.jsonl" and pulled.recipe.data.inventories == ("own.csv",)
    assert (pulled.recipe.data.beside, pulled.recipe.model.parent) == (("x",), "small")
    assert "/etc" not in (pulled.folder / "recipe.yaml").read_text()


def test_a_strangers_record_is_bounded_and_has_its_form(run, hub, model_folder, tmp_path):
    publish(run, "me/small", **NAMED)
    files = hub.repos["me/small"].files
    good = files["recipe.yaml"]
    ten = "".join(f"    a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 8))
    unfolds = b"\n  training:\n    a0: &a0 [" + b"x, " * 10 + b"]\n" + ten.encode()
    wrong = [good.replace(b"\n  training:\n", unfolds)]
    for key, value in (("sha256", 5), ("id", "a\x1b[2J/b"), ("revision", ["x"])):
        values = yaml.safe_load(good)
        values["record"]["base"][key] = value
        wrong.append(yaml.safe_dump(values).encode())
    for number, content in enumerate(wrong):
        files["recipe.yaml"] = content
        with pytest.raises(ValueError, match=r"its recipe.yaml does not describe a published run"):
            pull("me/small", out=tmp_path / f"runs/{number}", base=str(model_folder))
    for name in ("a\\..\\..\\x", "c:x", "\x1b[2J"):
        values = yaml.safe_load(good)
        values["record"]["published"]["files"][f"evaluation/{name}/metrics.json"] = "0"
        files["recipe.yaml"] = yaml.safe_dump(values).encode()
        with pytest.raises(ValueError, match="which Medalist does not publish"):
            pull("me/small", out=tmp_path / "runs/x", base=str(model_folder))


def test_files_too_large_to_have_been_published_are_not_fetched(run, hub, tmp_path, monkeypatch):
    publish(run, "me/small", **NAMED)
    monkeypatch.setattr(pulling, "MAX_BYTES", {"": 10**7, ".safetensors": 1000})
    seen = len(hub.served.requests)
    with pytest.raises(
        ValueError, match=r"adapter_model.safetensors of me/small has [\d,]+ bytes, more than the 1,000"
    ):
        pull("me/small", out=tmp_path / "runs/x")
    monkeypatch.setattr(pulling, "MAX_FILES", 3)
    with pytest.raises(ValueError, match=r"me/small has \d+ files, more than the 3 that are pulled"):
        pull("me/small", out=tmp_path / "runs/x")
    assert not [r.path for r in hub.served.requests[seen:] if "/resolve/" in r.path or "/lfs/" in r.path]


def test_a_run_published_without_hashes_is_told(run, hub, tmp_path):
    publish(run, "me/small", **NAMED)
    files = hub.repos["me/small"].files
    values = yaml.safe_load(files["recipe.yaml"])
    del values["record"]["published"]["files"]
    files["recipe.yaml"] = yaml.safe_dump(values).encode()
    with pytest.raises(ValueError, match=r"me/small records no hashes of its files: publish it again"):
        pull("me/small", out=tmp_path / "x")


def test_a_pull_that_is_cut_leaves_no_run_and_goes_on_where_it_was(run, hub, model_folder, tmp_path, capsys):
    publish(run, "me/small", **NAMED)
    content = hub.repos["me/small"].files["adapter_model.safetensors"]
    hub.faults = [("GET /lfs/", Answer(body=content, cut=9_000))] * 40
    arguments = ["pull", "me/small", "--out", tmp_path / "runs/x", "--base", model_folder]
    message = one_line(capsys, *arguments)
    assert message.startswith("me/small: the connection to the Hub failed or was lost")
    assert message.endswith("Run the same command again to resume: files that have arrived are kept.")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["small"]
    hub.faults = []
    seen = len(hub.served.requests)
    assert command(capsys, *arguments)[0] == 0
    fetched = [
        r.path for r in hub.served.requests[seen:] if r.method == "GET" and ("/resolve/" in r.path or "/lfs/" in r.path)
    ]
    assert len([path for path in fetched if "/lfs/" in path]) == 1
    assert not any(path.endswith("inventory.csv") for path in fetched), "it had arrived"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "me/x does not exist as a model on the Hub, or is private: check the name, or run `hf auth login`."),
        ({"config.json": b"{}"}, "me/x was not published by Medalist: it has no recipe.yaml"),
        (
            {"recipe.yaml": b"steps: 3"},
            "me/x was not published by Medalist: its recipe.yaml does not describe a published run",
        ),
        (
            {"recipe.yaml": b"{"},
            "me/x was not published by Medalist: its recipe.yaml does not describe a published run",
        ),
    ],
)
def test_what_is_no_published_run_is_one_line(hub, tmp_path, capsys, files, message):
    if files is not None:
        hub.add("me/x", files)
    assert one_line(capsys, "pull", "me/x", "--out", tmp_path / "x") == message
    assert not (tmp_path / "x").exists()


def test_a_revision_is_pulled_by_name_and_an_unknown_one_is_told(run, hub, model_folder, tmp_path, capsys):
    first = publish(run, "me/small", **NAMED).commit
    (run.folder / "evaluation/test/metrics.json").unlink()
    publish(run, "me/small", **NAMED)
    pulled = pull("me/small", revision=first, out=tmp_path / "runs/first", base=str(model_folder))
    assert (pulled.folder / "evaluation/test/metrics.json").exists()
    message = one_line(capsys, "pull", "me/small", "--revision", "v9", "--out", tmp_path / "runs/v9")
    assert message.startswith('me/small has no revision "v9" on the Hub: see its branches, tags and commits at ')
    assert message.endswith("/me/small/commits/main.")


def test_an_existing_folder_is_not_overwritten_by_a_pull(hub, tmp_path, capsys):
    (tmp_path / "x").mkdir()
    message = one_line(capsys, "pull", "me/small", "--out", tmp_path / "x")
    assert message == f"{tmp_path / 'x'} exists already: name another with --out, or remove it"
    assert hub.served.requests == []


def test_a_strangers_recipe_names_no_path_to_be_read(run, hub, tmp_path):
    publish(run, "me/small", **NAMED)
    files = hub.repos["me/small"].files
    values = yaml.safe_load(files["recipe.yaml"])
    values["record"]["base"]["source"] = "/etc"
    files["recipe.yaml"] = yaml.safe_dump(values).encode()
    with pytest.raises(ValueError, match="not on the Hub: name it with --base"):
        pull("me/small", out=tmp_path / "x")


def test_the_code_on_the_card_runs(run, hub, model_folder, tmp_path, monkeypatch, capsys):
    """As written, with peft and with transformers alone, and by Medalist; the base comes from the Hub."""
    hub.add("tests/tiny-llama", {path.name: path.read_bytes() for path in model_folder.iterdir()})
    monkeypatch.chdir(tmp_path)  # where Medalist's block makes runs/NAME
    for merged in (False, True):
        card = publish(run, f"me/tiny-{merged}", merged=merged, dtype="float32", **NAMED).publication.card
        blocks = re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
        assert len(blocks) == 2
        for block in blocks:
            exec(compile(block, "README.md", "exec"), {})
    out = capsys.readouterr().out.splitlines()
    answers = [line.strip() for line in out if line.strip()]
    assert len(answers) == 4 and answers[0] == answers[2] and answers[1] == answers[3], "adapter and merged agree"
