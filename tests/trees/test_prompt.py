from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.passages import NONE_OF_THESE, Mention
from medalist.trees.prompt import Encoder, PromptSettings, Windows, mention_question, sampled_candidates
from medalist.trees.tree import sequences
from medalist.trees.windows import text_windows

SENSES = ("rheumatoid arthritis", "right atrium", "room air")
INVENTORY = Inventory.of(
    [("RA", name, 0, None) for name in SENSES]
    + [("CT", "computed tomography", 0, None), ("CT", "contractions", 0, None)]
)


def prompt_of(text, *, words=3):
    passage = marked(text)
    settings = PromptSettings(context_words=words)
    return mention_question(passage.text, passage.mentions[0], SENSES, settings).prompt


def read(tokenizer, layouts):
    """For each mention, decoded from the trees: what the model reads before it answers, and the candidates."""
    found = {}
    for layout in layouts:
        for (tokens, predicted), question in zip(
            sequences(layout.tree), layout.tree.candidate_question.tolist(), strict=True
        ):
            asked = tokenizer.decode(tokens[:-predicted], skip_special_tokens=True)
            _, candidates = found.setdefault(layout.mentions[question], (asked, []))
            assert found[layout.mentions[question]][0] == asked
            candidates.append(tokenizer.decode(tokens[-predicted:], skip_special_tokens=True))
    return found


def with_template(tokenizer, template):
    """The same tokenizer, except that it adds other special tokens by itself."""
    changed = copy.deepcopy(tokenizer)
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (tokenizer.bos_token, tokenizer.eos_token)]
    changed.backend_tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=ids)
    return changed


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("one two three four [RA] five six seven eight", "two three four RA five six seven"),
        ("[RA] five six seven eight", "RA five six seven"),
        ("one two three four [RA]", "two three four RA"),
        ("[RA]", "RA"),
        ("one two\n three  four [RA]\tfive", "two three four RA five"),
        ("one two three four ([RA]), five six seven eight", "two three four (RA), five six seven"),
        (
            "one two three four anti-[RA]-positive five six seven eight",
            "two three four anti-RA-positive five six seven",
        ),
        ("one two three four [RA]. Five six seven eight", "two three four RA. Five six seven"),
    ],
    ids=["both sides", "start", "end", "alone", "white space", "brackets", "inside a word", "full stop"],
)
def test_question_quotes_the_words_around_the_mention(text, quoted):
    assert prompt_of(text) == f'\n\nIn "{quoted}", RA means'


def test_question_without_context_words_quotes_the_mention_and_what_is_attached_to_it():
    assert prompt_of("one two [RA] five", words=0) == '\n\nIn "RA", RA means'
    assert prompt_of("one two ([RA]), five", words=0) == '\n\nIn "(RA),", RA means'


def test_question_quotes_the_surface_and_asks_for_the_key():
    assert prompt_of("two [CTs|CT] were made", words=1) == '\n\nIn "two CTs were", CT means'


def test_null_candidate_is_last():
    passage = marked("on [RA=room air]")
    question = mention_question(passage.text, passage.mentions[0], SENSES, PromptSettings())
    assert question.candidates == (" rheumatoid arthritis\n", " right atrium\n", " room air\n", " none of these\n")
    assert question.gold == 2


@pytest.mark.parametrize(
    ("gold", "index"), [("right atrium", 1), (NONE_OF_THESE, 3), ("radium", None), (None, None)], ids=str
)
def test_gold_is_the_listed_sense_or_the_null_or_unknown(gold, index):
    mention = Mention(start=0, end=2, short_form="RA", long_form=gold)
    assert mention_question("RA", mention, SENSES, PromptSettings()).gold == index


def test_tree_spells_passage_question_and_candidates(tokenizer):
    passage = marked("The patient with [RA=rheumatoid arthritis] had a [CT]. ")
    [layout] = Encoder(tokenizer, PromptSettings(), max_depth=2048).encode(passage, INVENTORY)
    text = "The patient with RA had a CT."
    assert layout.text_id == "p1"
    assert [question.gold for question in layout.questions] == [0, None]
    assert read(tokenizer, [layout]) == {
        0: (
            f'{text}\n\nIn "The patient with RA had a CT.", RA means',
            [f" {name}\n" for name in (*SENSES, NONE_OF_THESE)],
        ),
        1: (
            f'{text}\n\nIn "RA had a CT.", CT means',
            [" computed tomography\n", " contractions\n", " none of these\n"],
        ),
    }


def test_short_form_that_the_inventory_lacks_offers_only_the_null_candidate(tokenizer):
    [layout] = Encoder(tokenizer, PromptSettings(), max_depth=2048).encode(marked("an [MR=mitral]"), INVENTORY)
    assert layout.questions[0].candidates == (" none of these\n",)
    assert layout.questions[0].gold is None


def test_passage_without_mentions_has_no_tree(tokenizer):
    encoder = Encoder(tokenizer, PromptSettings(), max_depth=2048)
    assert encoder.encode(marked("nothing to ask"), INVENTORY) == []
    assert encoder.encode(marked(""), INVENTORY) == []


@pytest.mark.parametrize(
    ("template", "begins_with_bos"),
    [("$A", False), ("<|begin|> $A", True), ("<|begin|> $A <|end|>", True), ("$A <|end|>", False)],
)
def test_only_the_bos_that_the_tokenizer_adds_itself(tokenizer, template, begins_with_bos):
    changed = with_template(tokenizer, template)
    plain = changed("pain in RA", add_special_tokens=False).input_ids
    [layout] = Encoder(changed, PromptSettings(), max_depth=2048).encode(marked("pain in [RA]"), INVENTORY)
    ids = layout.tree.token_ids.tolist()
    bos = [changed.bos_token_id] if begins_with_bos else []
    assert ids[: len(bos) + len(plain)] == bos + plain
    assert Counter(ids)[changed.bos_token_id] == len(bos)
    assert Counter(ids)[changed.eos_token_id] == 0  # it would end the text in the middle of a sequence


def test_candidate_goes_on_after_the_question_though_the_tokenizer_begins_every_text_with_a_space():
    inner = Tokenizer(models.BPE())  # like Llama 2's
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    alphabet = sorted(set('▁\n abcdefghijklmnopqrstuvwxyzIR"A,'))
    inner.train_from_iterator([], trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    inventory = Inventory.of([("RA", "room air", 0, None)])
    [layout] = Encoder(tokenizer, PromptSettings(), max_depth=2048).encode(marked("on [RA]"), inventory)
    tokens, predicted = sequences(layout.tree)[0]
    spelt = "".join(tokenizer.convert_ids_to_tokens(tokens))
    assert spelt == '▁on▁RA\n\nIn▁"on▁RA",▁RA▁means▁room▁air\n'
    assert "".join(tokenizer.convert_ids_to_tokens(tokens[-predicted:])) == "▁room▁air\n"


def test_candidates_are_never_truncated(tokenizer):
    long = " ".join(f"syndrome{number}" for number in range(150))
    inventory = Inventory.of([("RA", long, 0, None), ("RA", "room air", 0, None)])
    settings = PromptSettings(window=32, max_nodes=256)
    layouts = Encoder(tokenizer, settings, max_depth=2048).encode(marked(f"on [RA={long}]"), inventory)
    assert len(layouts[0].tree) > settings.max_nodes
    assert read(tokenizer, layouts)[0][1] == [f" {long}\n", " room air\n", " none of these\n"]


def test_question_that_does_not_fit_is_dropped_and_counted(tokenizer):
    inventory = Inventory.of([("RA", "rheumatoid arthritis of the right patient", 0, None), ("CT", "chest", 0, None)])
    passage = marked("The [CT] and [RA].")
    encoder = Encoder(tokenizer, PromptSettings(), max_depth=2048)
    [layout] = encoder.encode(passage, inventory)
    needed = max(len(tokens) for tokens, _ in sequences(layout.tree))
    assert encoder.dropped == 0

    fits = Encoder(tokenizer, PromptSettings(), max_depth=needed)
    assert fits.encode(passage, inventory)[0].mentions == (0, 1)
    assert fits.dropped == 0

    short = Encoder(tokenizer, PromptSettings(), max_depth=needed - 1)
    assert short.encode(passage, inventory)[0].mentions == (0,)
    assert short.dropped == 1
    short.encode(passage, inventory)
    assert short.dropped == 2


def test_mention_longer_than_a_window_is_dropped_and_counted(tokenizer):
    encoder = Encoder(tokenizer, PromptSettings(window=32), max_depth=2048)
    passage = marked(f"on [{' '.join(['room air'] * 40)}|RA] and [RA]")
    assert [layout.mentions for layout in encoder.encode(passage, INVENTORY)] == [(1,)]
    assert encoder.dropped == 1


def test_passage_with_many_questions_is_laid_out_in_several_trees_with_the_same_candidates(tokenizer):
    names = [f"{letter}th sense in use" for letter in "bcdfghjklmnp"]
    inventory = Inventory.of([("RA", name, 0, None) for name in names])
    passage = marked("the patient " * 120 + " ".join(f"word{letter} [RA={names[2]}]" for letter in "bcdfghjk"))
    wide = Encoder(tokenizer, PromptSettings(), max_depth=2048).encode(passage, inventory)
    narrow = Encoder(tokenizer, PromptSettings(max_nodes=512), max_depth=2048).encode(passage, inventory)
    assert len(wide) == 1
    assert len(narrow) > 2
    assert all(len(layout.tree) <= 512 for layout in narrow)
    assert [number for layout in narrow for number in layout.mentions] == list(range(8))
    assert [question for layout in narrow for question in layout.questions] == list(wide[0].questions)
    assert read(tokenizer, narrow) == read(tokenizer, wide)


LONG = " ".join(f"Sentence {number} says that the [RA] of patient {number} was seen." for number in range(24))
NARROW = PromptSettings(window=128)


def test_each_mention_of_a_long_passage_is_answered_once_in_the_window_where_it_is_most_central(tokenizer):
    passage = marked(LONG)
    tokens = tokenizer(passage.text, add_special_tokens=False, return_offsets_mapping=True)
    windows = text_windows(passage.text, [start for start, _ in tokens["offset_mapping"]], limit=NARROW.window)
    found = read(tokenizer, Encoder(tokenizer, NARROW, max_depth=2048).encode(passage, INVENTORY))
    assert len(windows) > 3
    assert sorted(found) == list(range(24))
    overlapped = 0
    for number, mention in enumerate(passage.mentions):
        centre = (mention.start + mention.end) / 2
        holding = [window for window in windows if window.start <= mention.start and mention.end <= window.end]
        best = min(holding, key=lambda window: abs((window.start + window.end) / 2 - centre))
        assert found[number][0].startswith(passage.text[best.start : best.end].rstrip() + "\n\nIn ")
        overlapped += len(holding) > 1
    assert overlapped > 5


def test_question_about_a_window_quotes_the_mention_that_it_is_about(tokenizer):
    found = read(tokenizer, Encoder(tokenizer, NARROW, max_depth=2048).encode(marked(LONG), INVENTORY))
    for number, (asked, candidates) in found.items():
        assert asked.endswith(f'\n\nIn "says that the RA of patient {number}", RA means')
        assert len(candidates) == 4


def test_text_appended_to_a_note_does_not_change_the_layouts_of_earlier_full_windows(tokenizer):
    def encoded(text):
        return Encoder(tokenizer, NARROW, max_depth=2048).encode(marked(text), INVENTORY)

    def window(layout):
        return read(tokenizer, [layout])[layout.mentions[0]][0].split("\n\nIn ")[0]

    before, after = (
        encoded(LONG),
        encoded(LONG + " Then [RA] was seen again in the patient, at length and in detail." * 3),
    )
    full = before[:-1]  # the last window ended with the text
    assert len(full) > 3
    for mine, theirs in zip(full[:-1], after, strict=False):
        assert mine.mentions == theirs.mentions
        assert mine.questions == theirs.questions
        assert mine.tree.token_ids.tolist() == theirs.tree.token_ids.tolist()
    # The last full window may take over mentions from the window after it, but its own stay unchanged.
    assert window(full[-1]) == window(after[len(full) - 1])
    kept, now = read(tokenizer, full[-1:]), read(tokenizer, after[len(full) - 1 : len(full)])
    assert kept.items() <= now.items()


def test_windows_are_those_of_the_encoder_and_a_short_text_needs_no_tokenizer(tokenizer):
    settings, loaded = PromptSettings(window=32), []
    windows = Windows(settings, lambda: loaded.append(1) or tokenizer)
    encoder = Encoder(tokenizer, settings, max_depth=2048)
    assert windows("RA now. ") == encoder.windows("RA now. ") and not loaded
    for text in ("RA now. " * 40, "\u00e9" * 32):
        assert windows(text) == encoder.windows(text)
    assert loaded == [1]


def test_encoder_keeps_candidates_but_nothing_of_the_text(tokenizer):
    encoder = Encoder(tokenizer, PromptSettings(), max_depth=2048)
    encoder.encode(marked("Mr Smith is on [RA]"), INVENTORY)
    kept = encoder._continue.cache_info()
    assert kept.currsize == len(SENSES) + 1
    encoder.encode(marked("Mrs Jones is on [RA]"), INVENTORY)
    assert encoder._continue.cache_info().currsize == kept.currsize


MANY = tuple(f"sense {number}" for number in range(20))
GOLD = marked("[RA=sense 13] [RA=sense 2] [RA=sense 2]")


def offered(*, seed=0, epoch=0, passage=GOLD, number=0, limit=5):
    return sampled_candidates(limit, seed=seed, epoch=epoch)(passage, number, MANY)


def test_sampled_candidates_hold_the_gold_and_others_in_inventory_order():
    for epoch in range(30):
        chosen = offered(epoch=epoch)
        assert len(chosen) == 5
        assert "sense 13" in chosen
        assert all(MANY.index(a) < MANY.index(b) for a, b in pairwise(chosen))


def test_sampled_candidates_are_a_function_of_seed_epoch_and_mention():
    choose = sampled_candidates(5, seed=0, epoch=0)
    choose(GOLD, 2, MANY)  # earlier calls make no difference
    assert choose(GOLD, 0, MANY) == offered()
    others = [
        offered(seed=1, number=1),
        offered(epoch=1, number=1),
        offered(number=2),
        offered(number=1, passage=marked("[RA] [RA=sense 2]", "p2")),
    ]
    assert all(other != offered(number=1) for other in others)


def test_every_sense_is_offered_sooner_or_later():
    assert {name for epoch in range(60) for name in offered(epoch=epoch)} == set(MANY)


def test_all_senses_are_offered_where_the_limit_allows():
    assert offered(limit=20) == MANY


def test_sampled_candidates_narrow_the_tree(tokenizer):
    inventory = Inventory.of([("RA", name, 0, None) for name in MANY])
    encoder = Encoder(tokenizer, PromptSettings(), max_depth=2048)
    [layout] = encoder.encode(GOLD, inventory, sampled_candidates(5, seed=0, epoch=0))
    for number, question in enumerate(layout.questions):
        assert question.candidates == tuple(f" {name}\n" for name in (*offered(number=number), NONE_OF_THESE))
        assert question.candidates[question.gold] == f" {GOLD.mentions[number].long_form}\n"
