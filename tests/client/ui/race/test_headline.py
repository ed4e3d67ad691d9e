"""What the screen says: the clock, the lead, the result, in both languages."""

from __future__ import annotations

import pytest

from photofinish.client.ui.race.headline import headline, race_phase, seconds_text
from photofinish.client.ui.race.replay import Race, RaceClaim
from photofinish.client.ui.words import LANGUAGES, PageWords
from tests.client.ui.race.races import MS, build_race, lane, pictures


def said(race: Race, now_ms: int, language: str = "en") -> tuple[str, ...]:
    found = headline(race, race_phase(race, now_ms * MS), now_ms * MS, PageWords("zh" if language == "zh" else "en"))
    return (found.figure, found.title, *found.lines)


def test_each_moment_has_its_words() -> None:
    race = build_race()
    assert said(race, -500)[:2] == ("0.0 s", "First to 50 frames")
    assert said(race, 1200)[:2] == ("1.2 s", "First to 50 frames")
    assert said(race, 1300)[:2] == ("1.3 s", "Optimised is done, the baseline has 13 of 50")
    assert said(race, 6000) == (
        "4.00×",
        "Optimised wins by 3.75 s and 38 frames",
        "4.00× the baseline's frames per second · 95 % interval 3.90× to 4.12×",
        "Both found the same 8 objects in 4 pictures",
    )


def test_the_same_in_chinese() -> None:
    race = build_race()
    assert said(race, 1300, "zh")[:2] == ("1.3 秒", "优化侧已到终点，基线侧完成 13 / 50 帧")
    assert said(race, 6000, "zh") == (
        "4.00×",
        "优化侧胜出，领先 3.75 秒、38 帧",
        "每秒帧数是基线的 4.00× · 95 % 置信区间 3.90× 至 4.12×",
        "双方在 4 幅画面中检测到同样的 8 个目标",
    )


def test_what_differs_is_said() -> None:
    race = build_race(
        pictures=pictures(4, missed_at=1), claim=RaceClaim(ratio=1.02, low=0.97, high=1.08, shows_difference=False)
    )
    assert said(race, 6000)[1:] == (
        "No difference is shown",
        "1.02× the baseline's frames per second · 95 % interval 0.97× to 1.08×",
        "Both found the same 7 of 8 objects in 4 pictures",
    )


def test_nothing_is_claimed_of_a_void_race() -> None:
    doubts = {"en": ("other programs used 1.0 of 2 cores; stop them.",), "zh": ("其他程序占用了 1.0 核。",)}
    race = build_race(claim=RaceClaim(ratio=4.0, doubts=doubts))  # type: ignore[arg-type]
    assert said(race, 6000) == ("–", "No gain is claimed", doubts["en"][0])
    assert said(race, 6000, "zh") == ("–", "不声称任何提升", doubts["zh"][0])


def test_a_race_to_one_frame_and_a_dead_heat() -> None:
    race = build_race(finish=1)
    assert said(race, 0)[1] == "Who has the boxes of 1 frame first?"
    assert said(race, 500)[1] == "Optimised wins by 0.07 s and 1 frame"
    tie = build_race(lanes={"baseline": lane(10, 50), "optimised": lane(10, 50)})
    assert said(tie, 6000)[1] == "Both arrive together"


@pytest.mark.parametrize(
    ("ns", "text"), [(970 * MS, "0.97"), (9_994 * MS, "9.99"), (9_996 * MS, "10.0"), (12_340 * MS, "12.3")]
)
def test_a_stopwatch_shows_three_digits(ns: int, text: str) -> None:
    assert seconds_text(ns) == text


def test_both_languages_have_the_same_words() -> None:
    from photofinish.client.ui.words import flat_words

    keys = [{key for key in flat_words(language) if key.startswith("race.")} for language in LANGUAGES]
    assert keys[0] == keys[1] != set()
