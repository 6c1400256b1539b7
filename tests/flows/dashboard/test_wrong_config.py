"""A file that is wrong stops what would watch by it, with its place, and changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bursar import cli, settings
from bursar.dashboard.models import LeaderLease
from tests.conftest import Database

TOLD = "invalid_monitor_config: watch.toml: [apis.rates] interval_seconds: must be from 10 to 86400"
API = '[apis.rates]\nurl = "https://a.example"\n'


def run(monkeypatch: pytest.MonkeyPatch, path: Path, *arguments: str) -> int:
    current = settings.current.model_copy(update={"monitors": path})
    monkeypatch.setattr(settings, "current", current)
    monkeypatch.setattr(sys, "argv", ["bursar", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    "command", [["serve", "--port", "0"], ["dashboard", "--once"], ["dashboard", "--check-config"]]
)
def test_a_wrong_file_is_told_with_table_and_field(
    sqlite_only: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    (tmp_path / "watch.toml").write_text(API + "interval_seconds = 1")
    assert run(monkeypatch, tmp_path / "watch.toml", *command) == 1
    printed = "".join(capfd.readouterr())
    assert TOLD in " ".join(printed.split())
    assert "Traceback" not in printed
    assert LeaderLease.objects.count() == 0


def test_a_right_file_is_counted(
    sqlite_only: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "watch.toml").write_text(API)
    assert run(monkeypatch, tmp_path / "watch.toml", "dashboard", "--check-config") == 0
    assert capfd.readouterr().out.splitlines()[-1] == "valid: 1 APIs, 0 certificates"
