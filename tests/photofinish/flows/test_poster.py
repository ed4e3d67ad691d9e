"""A poster from a committed record: one page of PDF by Chromium, else a page and words on how to print it."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from photofinish.cli import cli
from photofinish.errors import ConfigError, VerdictError
from photofinish.flows import poster
from tests.client.ui.browser import find_chromium
from tests.conftest import CHECKOUT

RECORD = CHECKOUT / "results/cpu2_demo.json.gz"


def pages_of(pdf: Path) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf.read_bytes()))


def sizes_of(pdf: Path) -> set[tuple[int, int]]:
    """Width and height of the pages in mm."""
    found = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", pdf.read_bytes())
    return {(round(float(width) / 72 * 25.4), round(float(height) / 72 * 25.4)) for width, height in found}


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on PATH; on Debian: apt install chromium")
@pytest.mark.parametrize(("paper", "lang", "size"), [("a3", "en", (297, 420)), ("a4", "zh", (210, 297))])
def test_a_poster_is_one_page_of_the_paper(tmp_path: Path, paper: str, lang: str, size: tuple[int, int]) -> None:
    out = tmp_path / "p.pdf"
    words = ["perf", "poster", str(RECORD), "--out", str(out), "--paper", paper, "--lang", lang]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    assert pages_of(out) == 1
    assert sizes_of(out) == {size}


def test_without_chromium_a_page_is_written_and_how_to_print_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["perf", "poster", str(RECORD), "--lang", "zh"])
    assert result.exit_code == 0, result.output
    written = Path(".photofinish/results/cpu2_demo.poster.zh.html")
    assert result.stdout.strip() == str(written)
    for said in ("no Chromium was found on PATH", "Ctrl-P", "paper A3", "background graphics on", str(written)):
        assert said in result.stderr
    text = (tmp_path / written).read_text(encoding="utf-8")
    assert "快 4.02 倍" in text
    assert "size: A3 portrait" in text
    assert not re.search(r"<script|(src|href)=|url\(|https?://(?!www\.w3\.org/2000/svg)", text)


def test_a_chromium_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho cannot start >&2\nexit 7\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    why = poster.print_pdf(tmp_path / "p.html", tmp_path / "p.pdf", profile=tmp_path / "profile")
    assert why == f"{program} ended with 7 and no PDF (cannot start)"
    program.write_text("#!/bin/sh\nsleep 30\n")
    monkeypatch.setattr(poster, "PRINT_TIMEOUT_S", 0.2)
    assert "timed out" in poster.print_pdf(tmp_path / "p.html", tmp_path / "p.pdf", profile=tmp_path / "profile")


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("cpu2_resnet18", ConfigError, "this record holds none; give one of `photofinish perf comparison`"),
        ("h100_comparison_yolo26m", VerdictError, "no poster of a gain that is not valid. Do not quote any of it"),
    ],
)
def test_what_shows_no_gain_makes_no_poster(tmp_path: Path, name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=re.escape(said)):
        poster.make_poster(CHECKOUT / f"results/{name}.json.gz", out=tmp_path / "p.html", lang="en", paper="a3")
    assert list(tmp_path.iterdir()) == []


def test_a_poster_needs_an_ending_that_it_knows_and_a_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.pdf or \.html, got p\.png"):
        poster.make_poster(RECORD, out=tmp_path / "p.png", lang="en", paper="a3")
    with pytest.raises(ConfigError, match="choose another place with --out"):
        poster.make_poster(RECORD, out=Path("/proc/none/p.html"), lang="en", paper="a4")


def test_what_others_wrote_is_no_tag_on_a_poster(tmp_path: Path) -> None:
    values = json.loads(gzip.decompress((CHECKOUT / "results/cpu2_int8.json.gz").read_bytes()))
    values["environment"]["cpu"] = "<script>1</script>"
    values["command"] = "photofinish </footer><script>2</script>"
    record = tmp_path / "r.json"
    record.write_text(json.dumps(values))
    out = poster.make_poster(record, out=tmp_path / "p.html", lang="en", paper="a4")
    assert "<script" not in out.read_text(encoding="utf-8")
