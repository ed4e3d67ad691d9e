"""Letters of our own: nothing that we say lacks one, and what a stranger says becomes a question mark."""

from __future__ import annotations

import numpy as np
import pytest

from photofinish.client.ui.race.lettering import (
    FONTS,
    Weight,
    draw_text,
    drawable,
    fitting_size,
    known_letters,
    text_width,
    wrapped,
)
from photofinish.client.ui.words import LANGUAGES, flat_words
from photofinish.perf.report.words import ENTRIES

WEIGHTS: tuple[Weight, Weight] = ("Medium", "Black")


@pytest.mark.parametrize("weight", WEIGHTS)
def test_every_word_that_a_race_shows_can_be_drawn(weight: Weight) -> None:
    said = [(key, text) for language in LANGUAGES for key, text in flat_words(language).items()]
    elsewhere = ("race.page.", "race.why.") if weight == "Black" else ("race.page.",)  # reasons stand in Medium
    ours = "".join(text for key, text in said if key.startswith("race.") and not key.startswith(elsewhere))
    assert not set(ours) - known_letters(weight), "client/ui/race/fonts/README.md says how the fonts are made again"


def test_the_words_of_reports_can_be_drawn() -> None:
    """Why nothing is claimed, and on what it ran."""
    assert not set("".join(text for pair in ENTRIES.values() for text in pair)) - known_letters("Medium") - {"\n"}


@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_list_of_letters_is_what_the_font_holds(weight: Weight) -> None:
    fonts = pytest.importorskip("fontTools.ttLib")
    with fonts.TTFont(FONTS / f"NotoSansSC-{weight}.ttf") as font:
        assert {ord(letter) for letter in known_letters(weight)} <= set(font.getBestCmap())


def test_foreign_letters_become_question_marks() -> None:
    assert drawable("帧 café ☃ Łódź") == "帧 café ? ?ód?"


def test_text_is_drawn_where_it_is_asked_for() -> None:
    canvas = np.zeros((60, 200, 3), np.uint8)
    width = draw_text(canvas, "50", (100, 40), 30, (255, 255, 255), anchor="middle")
    rows, columns = np.nonzero(canvas[:, :, 0] > 128)
    assert abs((columns.min() + columns.max()) / 2 - 100) < 3
    assert rows.max() in range(38, 42), "figures stand on the base line"
    assert columns.max() - columns.min() <= width


def test_text_beyond_the_canvas_is_cut() -> None:
    canvas = np.zeros((20, 20, 3), np.uint8)
    for at in ((-300, 10), (15, 10), (5, -30), (5, 90)):
        draw_text(canvas, "Photofinish", at, 24, (255, 255, 255))
    draw_text(canvas, "", (5, 10), 24, (255, 255, 255))


def test_long_text_becomes_smaller_or_goes_on_in_the_next_line() -> None:
    assert fitting_size("Photofinish", 40.4, 1000) == 40
    assert text_width("Photofinish", fitting_size("Photofinish", 40, 100)) <= 100
    text = "Optimised wins by 3.75 s and 38 frames"
    assert wrapped(text, 20, [250, 250]) == ["Optimised wins by 3.75 s", "and 38 frames"]
    assert wrapped("优化后以领先获胜", 20, [90, 500]) == ["优化后以", "领先获胜"]
    for text, halves in {
        "四个字好，换行": ["四个字", "好，换行"],
        "占用 (a 0.1)，停止": ["占用 (a", "0.1)，停止"],
    }.items():
        width = text_width(text[: text.index("，")], 20)
        assert wrapped(text, 20, [width, 500]) == halves, "a line begins with a comma"
    assert wrapped("占用核（程序）", 20, [text_width("占用核（", 20), 500]) == ["占用核", "（程序）"]
