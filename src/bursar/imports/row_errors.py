"""What is wrong with a file, told by line, and the one refusal that carries all of it."""

from __future__ import annotations

from dataclasses import dataclass

from bursar import card_numbers, errors

#: A file with more mistakes than this is not read further.
PROBLEMS_MAX = 1_000
PREVIEW_CHARACTERS_MAX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """
    One mistake: *line* counts from 1, the header's; *rule* is a stable word for machines.

    *column* is the file's own name of the column, "" where the whole row or file is meant.
    """

    line: int
    column: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}{f', {self.column}' if self.column else ''}: {self.message}"


class ImportRefused(errors.Invalid):
    """The file is wrong in these places; nothing of it was taken in."""

    code = "import_refused"
    status = None

    def __init__(self, file: str, problems: tuple[RowError, ...], *, more: bool = False) -> None:
        count = f"{len(problems)}{' or more' if more else ''} mistakes, the first in "
        super().__init__(
            f"{file}: {count if len(problems) > 1 else ''}{problems[0]}; nothing was imported",
            file=file,
            problems=len(problems),
        )
        self.problems = problems
        self.more = more


class RowErrors:
    """The mistakes found so far in *file*, at most `PROBLEMS_MAX`."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._errors: list[RowError] = []

    def add(self, *, line: int, rule: str, message: str, column: str = "") -> None:
        """
        Note a mistake. *message* holds text of the file only as `shown` gives it.

        :raises ImportRefused: if there are enough of them by now.
        """
        self._errors.append(RowError(line=line, column=column, rule=rule, message=message))
        if len(self._errors) >= PROBLEMS_MAX:
            raise self.to_exception(more=True)

    def add_error(self, error: errors.BursarError, *, line: int, column: str = "") -> None:
        """Note what another part of the house said about a value from *line*."""
        self.add(line=line, column=column, rule=error.code, message=error.message)

    def raise_if_any(self) -> None:
        """
        Go on only with a clean file.

        :raises ImportRefused: if there were mistakes; they come in the order of their lines.
        """
        if self._errors:
            raise self.to_exception()

    def to_exception(self, *, more: bool = False) -> ImportRefused:
        """Make the refusal that tells all mistakes in the order of their lines; at least one."""
        sorted_errors = sorted(self._errors, key=lambda problem: problem.line)
        return ImportRefused(self._file, tuple(sorted_errors), more=more)


def preview(text: str) -> str:
    """Quote the beginning of *text* for a message; a card number is never shown."""
    if card_numbers.contains_card_number(text):
        return "(what looks like a card number)"
    return (
        repr(text)
        if len(text) <= PREVIEW_CHARACTERS_MAX
        else f"{text[:PREVIEW_CHARACTERS_MAX]!r}..."
    )
