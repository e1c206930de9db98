"""Licences of bases: known from the id or from the base's card, with the name and notices that Llama's require."""

import pytest

from medalist.models.licences import find_licence_file, licence_of


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("meta-llama/Meta-Llama-3-8B", "llama3"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3"),
        ("someone/llama-3-8b-bnb-4bit", "llama3"),
        ("meta-llama/Llama-3.1-8B", "llama3.1"),
        ("meta-llama/Llama-3.2-1B", "llama3.2"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3.3"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"),
        ("TinyLlama/TinyLlama-1.1B", None),
        ("openlm-research/open_llama_3b", None),
        ("meta-llama/Llama-2-7b-hf", "llama2"),
        ("meta-llama/Llama-4-Scout-17B-16E", "llama4"),
        ("someone/llama-4b", None),
        ("llama-3/other", None),
    ],
)
def test_a_licence_is_known_from_the_bases_id(base, expected):
    found = licence_of(base)
    assert (found and found.id) == expected


def test_it_is_read_from_the_bases_own_card_or_given_but_llamas_obligations_stay(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n\n# base\n")
    assert licence_of("user/base", tmp_path).id == "mit"
    assert licence_of("user/base", tmp_path, given="gemma").id == "gemma"
    assert licence_of("meta-llama/Llama-3.2-1B", tmp_path, given="mit").id == "llama3.2"
    assert licence_of("user/base", given="MIT").id == "mit"
    assert licence_of("user/base", given="openrail++").id == "openrail++"
    for name in ("not a licence!!", "mit\nx: y", "", "<b>", "a" + "\u0660"):
        with pytest.raises(
            ValueError, match=r"is not a licence as the Hub names them, such as apache-2\.0, mit or other"
        ):
            licence_of("user/base", given=name)
    (tmp_path / "README.md").write_text('---\nlicense: "mit\\n\\n# x"\n---\n')
    assert licence_of("user/base", tmp_path) is None
    (tmp_path / "README.md").write_text("no head\n---\nlicense: mit\n---\n")
    assert licence_of("user/base", tmp_path) is None


@pytest.mark.parametrize(
    ("base", "name", "good"),
    [
        ("meta-llama/Meta-Llama-3-8B", "Llama-3-8B-medalist", True),
        ("meta-llama/Meta-Llama-3-8B", "llama-3-8b-medalist", True),
        ("meta-llama/Meta-Llama-3-8B", "medalist-llama-3-8b", False),
        ("meta-llama/Meta-Llama-3-8B", "Llama-8B-medalist", False),
        ("meta-llama/Llama-3.2-1B", "Llama-medalist", True),
        ("meta-llama/Llama-3.2-1B", "medalist-1B", False),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "anything", True),
    ],
)
def test_a_name_must_begin_as_the_licence_requires(base, name, good):
    licence = licence_of(base)
    if good:
        licence.check_name(f"me/{name}")
        return
    with pytest.raises(ValueError, match="to begin with") as refused:
        licence.check_name(f"me/{name}")
    proposed = str(refused.value).rsplit("; ", 1)[1].removesuffix(" would do")
    licence.check_name(proposed)


def test_llamas_notices_are_those_that_its_licences_require():
    three, later = licence_of("meta-llama/Meta-Llama-3-8B"), licence_of("meta-llama/Llama-3.2-1B")
    assert (three.built_with, later.built_with) == ("Built with Meta Llama 3", "Built with Llama")
    assert three.notice == (
        "Meta Llama 3 is licensed under the Meta Llama 3 Community License, "
        "Copyright © Meta Platforms, Inc. All Rights Reserved."
    )
    assert later.notice.startswith("Llama 3.2 is licensed under the Llama 3.2 Community License, ")


def test_llama_2_asks_for_a_notice_and_for_no_name_and_its_derivatives_say_that_they_are_under_it(tmp_path):
    licence = licence_of("meta-llama/Llama-2-7b-hf")
    assert licence.built_with is None and licence.name_begins is None
    assert licence.notice.startswith("Llama 2 is licensed under the Llama 2 Community License, ")
    (tmp_path / "README.md").write_text("---\nlicense: llama2\n---\n")
    assert licence_of("someone/CodeLlama-7b", tmp_path) == licence


def test_llamas_licence_must_be_published_with_the_model(tmp_path):
    licence = licence_of("meta-llama/Meta-Llama-3-8B")
    with pytest.raises(ValueError, match="--license-file"):
        find_licence_file(licence, tmp_path)
    (tmp_path / "LICENSE").write_text("text")
    assert find_licence_file(licence, tmp_path) == tmp_path / "LICENSE"
    assert find_licence_file(licence_of("HuggingFaceTB/SmolLM2-135M"), tmp_path) is None
    with pytest.raises(ValueError, match="is not a file"):
        find_licence_file(licence, tmp_path, given=tmp_path / "gone")
