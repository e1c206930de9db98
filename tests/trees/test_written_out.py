"""What a model reads: known answers written out, offsets of the rest moved, nothing from later windows."""

from medalist.data.inventory import Inventory
from medalist.data.passages import Mention, Passage
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.windows import Window
from medalist.trees.written_out import Written, layouts_of, rewritten

TEXT = "Known RA on MTX. SpO2 93 on RA, no CP."


def passage(*short_forms, text=TEXT):
    """A passage with the occurrences of these short forms as mentions."""
    mentions, at = [], 0
    for short_form in short_forms:
        start = text.index(short_form, at)
        at = start + len(short_form)
        mentions.append(Mention(start=start, end=at, short_form=short_form, long_form="gold"))
    return Passage(id="7", text=text, mentions=tuple(mentions), source="a ward")


def written(short_form, long_form, text=TEXT):
    start = text.index(short_form)
    return Written(start, start + len(short_form), long_form)


WHOLE = [Window(0, len(TEXT))]


def test_known_answers_are_written_out_and_the_other_mentions_move_with_the_text():
    [part] = rewritten(
        passage("RA", "RA", "CP"),
        WHOLE,
        written=[written("MTX", "methotrexate"), written("CP", "chest pain")],
        asked=[0, 1],
    )
    found = part.passage
    assert found.text == "Known RA on methotrexate. SpO2 93 on RA, no chest pain."
    assert [found.surface(mention) for mention in found.mentions] == ["RA", "RA"]
    assert [mention.start for mention in found.mentions] == [6, 37]
    assert (part.numbers, found.id, found.source) == ((0, 1), "7", "a ward")
    assert {mention.long_form for mention in found.mentions} == {"gold"}


def test_a_window_with_nothing_to_ask_is_not_read_and_one_with_nothing_known_as_it_stands():
    assert list(rewritten(passage("RA"), WHOLE, written=[written("MTX", "methotrexate")], asked=[])) == []
    [part] = rewritten(passage("RA"), WHOLE, written=[], asked=[0])
    assert (part.passage, part.numbers) == (passage("RA"), (0,))


def test_a_window_is_rewritten_by_what_is_answered_in_it_or_before_it_and_not_after():
    """CC stands in both windows and is answered in the second, which text appended to the note may change."""
    text = "AA one two. BB three four. CC five six. DD seven eight."
    windows = [Window(0, 40), Window(12, 55)]
    answers = [written(name, name.lower() * 3, text) for name in ("AA", "BB", "CC", "DD")]
    [first] = rewritten(passage("BB", text=text), windows, written=[a for a in answers if a.start != 12], asked=[0])
    assert first.passage.text == "aaaaaa one two. BB three four. CC five six. "
    [last] = rewritten(passage("CC", text=text), windows, written=[a for a in answers if a.start != 27], asked=[0])
    assert last.passage.text == "bbbbbb three four. CC five six. dddddd seven eight."


def test_the_trees_name_the_mentions_by_their_place_in_the_whole_passage(tokenizer):
    inventory = Inventory.of([("RA", "room air", 0, None), ("CP", "chest pain", 0, None)])
    whole = passage("RA", "RA", "CP")
    parts = rewritten(whole, WHOLE, written=[written("MTX", "methotrexate")], asked=[1, 2])
    [layout] = layouts_of(parts, Encoder(tokenizer, PromptSettings(), max_depth=512), inventory)
    assert (layout.text_id, layout.mentions) == ("7", (1, 2))
    assert "methotrexate" in layout.text
    assert [question.prompt.split('"')[1] for question in layout.questions] == [
        "SpO2 93 on RA, no CP.",
        "on RA, no CP.",
    ]
