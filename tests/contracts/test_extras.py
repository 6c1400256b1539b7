"""What needs an extra says so in one line where it is missing; all else works without it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bursar.cli import traffic

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOGS = sorted(
    Requirement(entry).name for entry in PROJECT["project"]["optional-dependencies"]["logs"]
)

#: Without the modules that the first argument names, by comma.
WITHOUT = "import sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(',')))\n"
COMMAND = f"{WITHOUT}from bursar import cli; cli.main()"
EVERY_MODULE = f"""{WITHOUT}
import importlib, pkgutil
import bursar, django
django.setup()
for module in pkgutil.walk_packages(bursar.__path__, 'bursar.'):
    if not module.name.endswith('.__main__'):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            print(module.name, error.name)
from bursar.admin import access_log_reports
from tests import accesslogs
print(access_log_reports.html.render(accesslogs.usual()).decode().count('192.0.2.7') > 0)
"""


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run *program* with the extra's modules missing, and then *words*."""
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=50,
    )


def test_the_command_knows_what_is_in_the_extra() -> None:
    assert sorted(traffic.EXTRA.values()) == LOGS


def test_without_the_extra_only_the_reader_of_access_logs_is_missing(home: Path) -> None:
    done = run(EVERY_MODULE, ",".join(traffic.EXTRA))
    *missing, rendered = done.stdout.splitlines()
    assert (rendered, done.stderr) == ("True", "")
    modules = [line.split()[0] for line in missing]
    assert "bursar.accesslog.analysis" in modules
    assert [name for name in modules if not name.startswith("bursar.accesslog.")] == []
    assert {line.split()[1] for line in missing} <= set(traffic.EXTRA)


@pytest.mark.parametrize("words", [["--help"], ["traffic", "--help"], ["serve", "--help"]])
def test_without_the_extra_the_command_line_helps(home: Path, words: list[str]) -> None:
    done = run(COMMAND, ",".join(traffic.EXTRA), *words)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("module", "package"), traffic.EXTRA.items())
@pytest.mark.parametrize("words", [["access.log"], ["merge", "a.part"]])
def test_reading_logs_without_the_extra_is_one_line(
    home: Path, module: str, package: str, words: list[str]
) -> None:
    done = run(COMMAND, module, "traffic", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"logs_extra_missing: the access-log reader needs {package}, which is not installed:"
        " pip install 'bursar[logs]'\n"
    )
