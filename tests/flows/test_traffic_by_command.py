"""`bursar traffic`: what it refuses before it reads, and what it does without."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command

from bursar.cli import commands


def test_its_help_needs_no_django() -> None:
    program = (
        "import sys; from bursar.cli import commands\n"
        "try: commands.app(['traffic', '--help'], prog_name='bursar')\n"
        "except SystemExit as end: print(end.code, 'django' in sys.modules, 'numpy' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert told.startswith("Usage: bursar traffic read [OPTIONS] ")
    assert told.splitlines()[-1] == "0 False False"


@pytest.mark.parametrize(
    ("words", "command"),
    [(["a.log"], "read"), (["--top", "3", "./merge"], "read"), (["merge", "a.part"], "merge"),
     (["read", "a.log"], "read"), ([], "read")],
)  # fmt: skip
def test_reading_is_what_it_does_unless_told_otherwise(words: list[str], command: str) -> None:
    group = get_command(commands.app).commands["traffic"]  # type: ignore[attr-defined]
    with group.make_context("traffic", list(words)) as context:
        name, _, _ = group.resolve_command(context, [*context._protected_args, *context.args])
    assert name == command
