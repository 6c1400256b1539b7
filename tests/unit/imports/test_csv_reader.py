from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bursar.imports import csv_reader
from bursar.imports.row_errors import ImportRefused, RowErrors

HEADER = b"invoice,item\n"


def read(
    data: bytes, *, name: str = "a.csv", cut_off_allowed: bool = False
) -> list[csv_reader.CsvRow]:
    file, problems = csv_reader.CsvFile(name, data, ""), RowErrors(name)
    rows = csv_reader.rows(
        file,
        columns=["invoice", "item"],
        problems=problems,
        missing_line_end_allowed=cut_off_allowed,
    )
    read = list(rows)
    problems.raise_if_any()
    return read


def row(line: int, invoice: str, item: str) -> csv_reader.CsvRow:
    return csv_reader.CsvRow(line, {"invoice": invoice, "item": item})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HEADER + b"1,lamp\n2,rope\n", [row(2, "1", "lamp"), row(3, "2", "rope")]),
        (b"\xef\xbb\xbf" + HEADER + b"1,lamp\n", [row(2, "1", "lamp")]),
        (HEADER.replace(b"\n", b"\r\n") + b"1,lamp\r\n", [row(2, "1", "lamp")]),
        (HEADER + b'1,"two\nlines"\n2,rope\n', [row(2, "1", "two\nlines"), row(4, "2", "rope")]),
        (HEADER + b'1,"a ""quoted"" lamp, brass"\n', [row(2, "1", 'a "quoted" lamp, brass')]),
        (HEADER + b"1,lamp\n\n\n2,rope\n", [row(2, "1", "lamp"), row(5, "2", "rope")]),
        (HEADER + "1,Öllampe\n".encode(), [row(2, "1", "Öllampe")]),
        (HEADER, []),
    ],
    ids=["plain", "bom", "crlf", "line_end_in_quotes", "quotes", "empty_lines", "utf8", "no_rows"],
)
def test_rows_come_with_the_line_they_begin_on(
    data: bytes, expected: list[csv_reader.CsvRow]
) -> None:
    actual = read(data)

    assert actual == expected
    assert read(gzip.compress(data), name="a.csv.gz") == expected


def test_other_columns_are_read_and_order_is_free() -> None:
    actual = read(b"item,colour,invoice\nlamp,red,1\n")

    assert actual == [csv_reader.CsvRow(2, {"item": "lamp", "colour": "red", "invoice": "1"})]


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        (b"", 1, "the file is empty"),
        (b"\xef\xbb\xbf", 1, "the last line has no line end; is the file truncated?"),
        (HEADER.decode().encode("utf-16"), 1, "the file is UTF-16; save it as UTF-8"),
        (
            HEADER.decode().encode("utf-16-le"),
            1,
            "NUL byte; if the file is UTF-16, save it as UTF-8",
        ),
        (
            HEADER + b"1,la\0mp\n",
            2,
            "NUL byte; if the file is UTF-16, save it as UTF-8",
        ),
        (HEADER + b"1,lamp\n2,\xd6llampe\n", 3, "byte 3 is not UTF-8"),
        (HEADER + b'1,"lamp\n2,rope\n3,tea\n', 2, "a quote opened here is not closed"),
        (
            HEADER + b'1,lamp\n2,"rope\n' + b"3,tea\n" * 40_000,
            21848,
            "the row is longer than 131,072 bytes; is a quote not closed?",
        ),
        (
            HEADER + b'1,"lamp" brass\n',
            2,
            "a closing quote is not followed by the end of the field",
        ),
        (
            HEADER.replace(b"\n", b"\r") + b"1,lamp\r",
            1,
            "carriage return inside the line; lines must end with LF or CR LF",
        ),
        (
            HEADER + b"1,la\rmp\n",
            2,
            "carriage return inside the line; lines must end with LF or CR LF",
        ),
        (HEADER + b"1,lamp", 2, "the last line has no line end; is the file truncated?"),
        (HEADER + b"1," + b"x" * 10_000_000 + b"\n", 2, "the line is longer than 65,536 bytes"),
        (HEADER + b"1," + b"x" * 10_001 + b"\n", 2, "a field has more than 10,000 characters"),
        (b"invoice,item,item\n1,a,b\n", 1, "column 'item' occurs twice"),
        (b"invoice\n1\n", 1, "missing column 'item'; the header has 'invoice'"),
        (
            b"invoice;item\n1;a\n",
            1,
            "missing column 'invoice', 'item'; the header has 'invoice;item'",
        ),
        (b"," * 200 + b"\n", 1, "the header has more than 200 columns"),
        (gzip.compress(HEADER), 1, "the file name does not match the content, which is gzip"),
        (b"PK\x03\x04....", 1, "the file name does not match the content, which is zip"),
    ],
    ids=[
        "empty",
        "bom_only",
        "utf16",
        "utf16_without_mark",
        "nul",
        "latin1",
        "open_quote",
        "open_quote_in_a_large_file",
        "text_after_quote",
        "cr_only",
        "cr_inside",
        "cut_off",
        "huge_line",
        "huge_field",
        "duplicate_header",
        "missing_column",
        "other_delimiter",
        "too_many_columns",
        "gzip_as_csv",
        "zip",
    ],
)
def test_what_is_no_such_file_is_refused_with_its_line(
    data: bytes, line: int, message: str
) -> None:
    with pytest.raises(csv_reader.ImportFileUnreadable) as refusal:
        read(data)

    assert (refusal.value.line, refusal.value.message) == (line, message)


def test_a_half_written_gzip_is_refused_at_the_line_where_it_breaks_off() -> None:
    data = gzip.compress(HEADER + b"1,lamp\n")

    with pytest.raises(
        csv_reader.ImportFileUnreadable, match="corrupt or truncated after this line"
    ):
        read(data[:-6], name="a.csv.gz")
    with pytest.raises(
        csv_reader.ImportFileUnreadable, match="corrupt or truncated after this line"
    ):
        read(data[:-8] + bytes([data[-8] ^ 1]) + data[-7:], name="a.csv.gz")


def test_a_gzip_bomb_is_unpacked_only_as_far_as_a_line_may_be_long() -> None:
    bomb = gzip.compress(HEADER + bytes(50_000_000))

    with pytest.raises(csv_reader.ImportFileUnreadable) as refusal:
        read(bomb, name="a.csv.gz")

    assert refusal.value.line == 2


def test_a_plain_file_named_gz_is_refused() -> None:
    with pytest.raises(csv_reader.ImportFileUnreadable, match="the content, which is not gzip"):
        read(HEADER, name="a.csv.gz")


def test_a_last_line_without_end_is_read_where_that_is_chosen() -> None:
    actual = read(HEADER + b"1,lamp", cut_off_allowed=True)

    assert actual == [row(2, "1", "lamp")]


def test_every_row_of_another_width_is_told() -> None:
    with pytest.raises(ImportRefused) as refusal:
        read(HEADER + b"1\n2,rope\n3,tea,hot\n")

    assert [str(problem) for problem in refusal.value.problems] == [
        "line 2: 1 columns where the header has 2",
        "line 4: 3 columns where the header has 2",
    ]


def test_a_card_number_where_the_header_should_be_is_not_shown() -> None:
    with pytest.raises(csv_reader.ImportFileUnreadable) as refusal:
        read(b"4242424242424242,lamp\n")

    assert "4242" not in str(refusal.value)


def test_loading_names_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"abc")

    # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert csv_reader.load(path) == csv_reader.CsvFile("a.csv", b"abc", expected)


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(csv_reader.ImportFileUnreadable, match="No such file"):
        csv_reader.load(tmp_path / "missing.csv")
    with pytest.raises(csv_reader.ImportFileUnreadable, match="Is a directory"):
        csv_reader.load(tmp_path)


def test_a_file_is_read_no_further_than_its_limit() -> None:
    with pytest.raises(csv_reader.ImportFileUnreadable, match="larger than"):
        csv_reader.load(Path("/dev/zero"))
