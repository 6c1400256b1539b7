"""What is wrong with a file, told by line, and the one refusal that carries all of it."""

from __future__ import annotations

from dataclasses import dataclass

from bursar import card_numbers, errors

#: A file with more mistakes than this is not read further.
PROBLEMS_MAX = 1_000
SHOWN_LETTERS = 40


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
        self._found: list[RowError] = []

    def add(self, *, line: int, rule: str, message: str, column: str = "") -> None:
        """
        Note a mistake. *message* holds text of the file only as `shown` gives it.

        :raises ImportRefused: if there are enough of them by now.
        """
        self._found.append(RowError(line=line, column=column, rule=rule, message=message))
        if len(self._found) >= PROBLEMS_MAX:
            raise self.refusal(more=True)

    def note(self, error: errors.BursarError, *, line: int, column: str = "") -> None:
        """Note what another part of the house said about a value from *line*."""
        self.add(line=line, column=column, rule=error.code, message=error.message)

    def refuse_if_any(self) -> None:
        """
        Go on only with a clean file.

        :raises ImportRefused: if there were mistakes; they come in the order of their lines.
        """
        if self._found:
            raise self.refusal()

    def refusal(self, *, more: bool = False) -> ImportRefused:
        """Make the refusal that tells all mistakes in the order of their lines; at least one."""
        found = sorted(self._found, key=lambda problem: problem.line)
        return ImportRefused(self._file, tuple(found), more=more)


def shown(text: str) -> str:
    """Quote the beginning of *text* for a message; a card number is never shown."""
    if card_numbers.contains_card_number(text):
        return "(what looks like a card number)"
    return repr(text) if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]!r}..."
