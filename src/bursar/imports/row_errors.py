"""Row errors of an import, collected by line, and the exception that carries all of them."""

from __future__ import annotations

from dataclasses import dataclass

from bursar import card_numbers, errors

#: Reading stops after this many row errors.
PROBLEMS_MAX = 1_000
PREVIEW_CHARACTERS_MAX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """
    One error: *line* counts from 1 (the header); *rule* is a stable machine-readable code.

    *column* is the column name in the file, "" for an error of the whole row or file.
    """

    line: int
    column: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}{f', {self.column}' if self.column else ''}: {self.message}"


class ImportRefused(errors.Invalid):
    """The file has row errors; nothing was imported."""

    code = "import_refused"
    status = None

    def __init__(self, file: str, problems: tuple[RowError, ...], *, more: bool = False) -> None:
        count = f"{len(problems)}{' or more' if more else ''} errors, first: "
        super().__init__(
            f"{file}: {count if len(problems) > 1 else ''}{problems[0]}; nothing was imported",
            file=file,
            problems=len(problems),
        )
        self.problems = problems
        self.more = more


class RowErrors:
    """Collects the row errors of *file*, at most `PROBLEMS_MAX`."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._errors: list[RowError] = []

    def add(self, *, line: int, rule: str, message: str, column: str = "") -> None:
        """
        Add an error. *message* must quote text of the file only by `preview`.

        :raises ImportRefused: at the limit.
        """
        self._errors.append(RowError(line=line, column=column, rule=rule, message=message))
        if len(self._errors) >= PROBLEMS_MAX:
            raise self.to_exception(more=True)

    def add_error(self, error: errors.BursarError, *, line: int, column: str = "") -> None:
        """Add an error raised by the validation of a value on *line*."""
        self.add(line=line, column=column, rule=error.code, message=error.message)

    def raise_if_any(self) -> None:
        """
        Raise if there are errors.

        :raises ImportRefused: with all errors, ordered by line.
        """
        if self._errors:
            raise self.to_exception()

    def to_exception(self, *, more: bool = False) -> ImportRefused:
        """Return the exception with all errors, ordered by line; there must be at least one."""
        sorted_errors = sorted(self._errors, key=lambda problem: problem.line)
        return ImportRefused(self._file, tuple(sorted_errors), more=more)


def preview(text: str) -> str:
    """Quote the beginning of *text* for a message; card numbers are masked."""
    if card_numbers.contains_card_number(text):
        return "(a card number)"
    return (
        repr(text)
        if len(text) <= PREVIEW_CHARACTERS_MAX
        else f"{text[:PREVIEW_CHARACTERS_MAX]!r}..."
    )
