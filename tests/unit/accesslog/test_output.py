"""Outputs of a report: the same content in each, and text from the log is escaped."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bursar import atomic_files
from bursar.accesslog import report as reports
from bursar.accesslog.output import csv as as_csv
from bursar.accesslog.output import formatting, html, terminal
from bursar.accesslog.output import json as as_json
from tests import accesslogs

INCOMPLETE = "INCOMPLETE: access.log ends at byte 1,234,000"
APPROXIMATE = "APPROXIMATE: the number of distinct addresses is an estimate, within 2.00%"


def render_terminal(report: reports.AccessLogReport) -> str:
    out = io.StringIO()
    terminal.show(report, Console(file=out, width=200, highlight=False))
    return out.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/v1/orders", "/v1/orders"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("\0", "\\x00"),
        ("\\x1b", "\\x1b"),
        ("\r\n", "\\x0d\\x0a"),
        ("\x9b", "\\x9b"),
        ("\xe9 \u4e2d", "\xe9 \u4e2d"),
        ("\U000e0001", "\\U000e0001"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_would_not_be_seen_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert formatting.visible(text) == shown


@given(st.text(st.characters(codec=None)))
def test_visible_text_has_only_letters_that_show_themselves(text: str) -> None:
    shown = formatting.visible(text)
    assert not {unicodedata.category(letter)[0] for letter in shown} & {"C"}
    assert len(shown) >= len(text)


def test_every_output_marks_what_is_cut_or_estimated() -> None:
    report = accesslogs.usual(complete=False, approximate=True)
    shown = render_terminal(report)
    assert shown.count(INCOMPLETE) == 2
    assert shown.count(APPROXIMATE) == 2
    page = html.render(report).decode()
    assert f'<p class="warning" role="alert">{INCOMPLETE}</p>' in page
    assert f'<p class="warning" role="alert">{APPROXIMATE}</p>' in page
    rows = list(csv.reader(io.StringIO(as_csv.render(report).decode())))
    assert rows[1][:2] + rows[1][-1:] == ["report", *INCOMPLETE.split(": ")]
    assert rows[2][:2] + rows[2][-1:] == ["report", *APPROXIMATE.split(": ")]
    read = json.loads(as_json.render(report))
    assert (read["complete"], read["sources"][0]["truncated_at"]) == (False, 1_234_000)
    assert (read["approximate"], read["error_bound"]) == (True, 0.02)


def test_a_whole_report_has_no_mark() -> None:
    report = accesslogs.usual()
    told = render_terminal(report) + html.render(report).decode() + as_csv.render(report).decode()
    assert "INCOMPLETE" not in told
    assert "APPROXIMATE" not in told


def test_the_csv_names_the_table_of_each_row() -> None:
    rows = list(csv.reader(io.StringIO(as_csv.render(accesslogs.usual()).decode())))
    assert rows[0] == [
        "table",
        "key",
        "requests",
        "bytes",
        "client_errors",
        "server_errors",
        "mean_ms",
        "max_ms",
        "message",
    ]
    assert ["addresses", "(distinct)", "321", "", "", "", "", "", ""] in rows
    assert ["addresses", "192.0.2.7", "900", "4000", "90", "0", "", "", ""] in rows
    assert ["slowest", "/v1/payments", "2000", "", "", "", "17.75", "900.0", ""] in rows
    assert {len(row) for row in rows} == {9}


def test_hostile_text_moves_no_terminal() -> None:
    shown = render_terminal(accesslogs.hostile())
    hidden = {letter for letter in shown if unicodedata.category(letter).startswith("C")}
    assert hidden == {"\n"}
    assert "[bold red]x[/]" in shown


def test_hostile_text_is_no_formula_and_no_row_of_its_own() -> None:
    content = as_csv.render(accesslogs.hostile()).decode()
    rows = list(csv.reader(io.StringIO(content)))
    assert {len(row) for row in rows} == {9}
    assert [c for row in rows for c in row if c.lstrip()[:1] in {*"=+-@"} - {""}] == []
    assert "'=cmd|'/C calc'!A0" in {row[1] for row in rows}
    assert "\\x0d\\x0aforged,line" in {row[1] for row in rows}


def test_json_is_ascii_and_has_the_text_itself() -> None:
    report = accesslogs.hostile()
    content = as_json.render(report)
    assert set(content) <= {10, *range(32, 127)}
    assert json.loads(content) == report


def test_hostile_text_makes_no_element_of_the_page() -> None:
    page = html.render(accesslogs.hostile()).decode()
    elements = set(re.findall(r"<([a-zA-Z]+)", page))
    assert elements == set(
        re.findall(r"<([a-zA-Z]+)", html.render(accesslogs.usual()).decode())
    ) | {"p"}
    assert not elements & {"script", "img", "iframe", "object", "a", "form"}
    assert page.count("<style>") == 1


def test_a_file_is_replaced_at_once_and_nothing_else_is_left(tmp_path: Path) -> None:
    atomic_files.write(tmp_path / "a.html", b"one")
    atomic_files.write(tmp_path / "a.html", b"two")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.html", b"two")]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(atomic_files.OutputNotWritable, match="Is a directory"):
        atomic_files.write(tmp_path / "folder", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(atomic_files.OutputNotWritable, match="No such file"):
        atomic_files.write(tmp_path / "none" / "a", b"one")
