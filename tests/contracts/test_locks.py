"""The locks pin everything by hash, name no host, and are in step with pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "locks").glob("*.lock"))

#: What each lock holds beside the dependencies and all extras.
GROUPS = {
    "core": ["build"],
    "dev": ["build", "test", "lint"],
    "bench": ["build", "test", "bench"],
}


NAME, EXTRAS = r"[A-Za-z0-9._-]+", r"(?:\[[A-Za-z0-9,._-]+\])?"


def _pins(text: str) -> dict[str, list[Version]]:
    """Return each name's versions: a name may be pinned once per marker."""
    pins: dict[str, list[Version]] = {}
    for name, version in re.findall(rf"^({NAME}){EXTRAS}==([^\s;\\]+)", text, re.MULTILINE):
        pins.setdefault(canonicalize_name(name), []).append(Version(version))
    return pins


def _wanted(lock: str) -> list[Requirement]:
    project = PROJECT["project"]
    told = [*project["dependencies"]]
    for entries in project["optional-dependencies"].values():
        told += entries
    for group in GROUPS[lock]:
        told += [entry for entry in PROJECT["dependency-groups"][group] if isinstance(entry, str)]
    return [Requirement(entry) for entry in told]


def test_there_are_locks_to_install_and_to_develop() -> None:
    assert {"core", "dev"} <= {lock.stem for lock in LOCKS} <= set(GROUPS)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_names_no_host(lock: Path) -> None:
    text = lock.read_text()
    told = re.compile(r"://|\bindex-url|\bfind-links|\btrusted-host|@ file")
    assert [line for line in text.splitlines() if told.search(line)] == []
    assert re.findall(r"(?m)^-.*", text) == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_pin_has_its_hashes(lock: Path) -> None:
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", lock.read_text())[1:]
    bare = [e.split()[0] for e in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", e)]
    loose = [e.split()[0] for e in entries if not re.match(f"{NAME}{EXTRAS}==", e)]
    assert (bare, loose) == ([], [])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_is_in_step_with_the_project(lock: Path) -> None:
    pins = _pins(lock.read_text())
    behind = [
        str(wanted)
        for wanted in _wanted(lock.stem)
        if not any(
            wanted.specifier.contains(v) for v in pins.get(canonicalize_name(wanted.name), [])
        )
    ]
    assert behind == [], "run scripts/lock"


def test_all_locks_pin_what_they_share_alike() -> None:
    core = _pins((ROOT / "locks" / "core.lock").read_text())
    for lock in LOCKS:
        pins = _pins(lock.read_text())
        assert {name: pins.get(name) for name in core} == core, lock.stem


def test_a_lock_that_names_a_host_or_lacks_a_hash_is_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.lock"
    bad.write_text("--index-url https://host/simple\nx==1.0\n")
    for check in (test_a_lock_names_no_host, test_every_pin_has_its_hashes):
        with pytest.raises(AssertionError):
            check(bad)
