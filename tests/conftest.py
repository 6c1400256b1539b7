"""What every test may ask for; a test that does not ask for `database` touches none."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

gc.disable()  # until all is imported and collected, which makes much and throws little away

# Before anything of Bursar is imported: its settings are read once, at import.
for _name in [name for name in os.environ if name.startswith("BURSAR_")]:
    if not _name.startswith(("BURSAR_TESTS_", "BURSAR_REAL_DATA")):
        del os.environ[_name]
os.environ["BURSAR_HOME"] = tempfile.mkdtemp(prefix="bursar-home-")
os.environ["DJANGO_SETTINGS_MODULE"] = "bursar.settings"
atexit.register(shutil.rmtree, os.environ["BURSAR_HOME"], ignore_errors=True)

import django
import hypothesis

from tests import thoroughness

# Where nobody waits, Hypothesis looks longer: it loads a profile of its own.
hypothesis.settings.register_profile("quick", max_examples=30, deadline=None)
if not thoroughness.THOROUGH:
    hypothesis.settings.load_profile("quick")

django.setup()

from django.contrib.auth.hashers import Argon2PasswordHasher

if not thoroughness.THOROUGH:  # what makes guessing slow makes every sign-in slow
    Argon2PasswordHasher.time_cost, Argon2PasswordHasher.memory_cost = 1, 64
    Argon2PasswordHasher.parallelism = 1

from bursar import group_commit, settings
from bursar.payments import provider_accounts
from bursar.providers import mixins
from tests import databases
from tests import shop as shops


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The copy a test works on."""

    name: str
    """`sqlite` or `postgres`."""

    settings: settings.Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A BURSAR_HOME of the test's own, for this process and for those it starts."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("BURSAR_HOME", str(folder))
    monkeypatch.setattr(settings, "current", settings.load(home=folder))
    return folder


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> databases.Template:
    """The migrated SQLite file that tests copy."""
    return databases.SQLiteTemplate(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[databases.Template]:
    """The migrated PostgreSQL database that tests copy, on a server for this process of tests."""
    if os.environ.get("BURSAR_TESTS_WITHOUT_POSTGRES") == "1":
        pytest.skip("BURSAR_TESTS_WITHOUT_POSTGRES=1: nothing is tested on PostgreSQL")
    with databases.postgres_server() as url:
        yield databases.PostgresTemplate(url, folder=tmp_path_factory.mktemp("postgres"))


@pytest.fixture(params=["sqlite", "postgres"])
def database(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """An empty, migrated database behind Django's connection, and a fresh `group_commit.commits`."""
    with _copy_of(request.param, request, home, monkeypatch) as copied:
        yield copied


@pytest.fixture
def sqlite_only(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """The same on SQLite alone, for modules whose `database` it is."""
    with _copy_of("sqlite", request, home, monkeypatch) as copied:
        yield copied


@contextlib.contextmanager
def _copy_of(
    name: str, request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    template: databases.Template = request.getfixturevalue(f"{name}_template")
    copied = template.copy(home=home)
    monkeypatch.setattr(settings, "current", copied)
    if copied.database_url is not None:
        monkeypatch.setenv("BURSAR_DATABASE_URL", copied.database_url.get_secret_value())
    with databases.connected(copied):
        commits = group_commit.GroupCommit()
        monkeypatch.setattr(group_commit, "commits", commits)
        yield Database(name=name, settings=copied)
        commits.close(timeout_seconds=30)
    template.drop(copied)


@pytest.fixture
def closing(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the provider objects that the test has made; none of them waits between its tries."""

    async def at_once(seconds: float) -> None:
        return None

    monkeypatch.setattr(mixins.RetryMixin, "sleep", staticmethod(at_once))
    yield
    asyncio.run(provider_accounts.close_all())


@pytest.fixture
def shop(database: Database, closing: None) -> shops.Shop:
    """A shop with a sandbox account, in an empty database."""
    return shops.Shop()


#: Pages, who may see them, and what becomes of money. Where databases differ, in locks, constraints,
#: and what they do with a broken transaction, other flows show it on both.
_ON_ONE_DATABASE = (
    "admin/",
    "dashboard/",
    "api/test_request_middleware.py",
    "api/test_the_dashboard.py",
    "api/test_who_may_call_what.py",
    "stripe/",
    "test_accounts.py",
    "test_dashboard_by_command.py",
    "test_disputes.py",
    "test_fees_and_payouts.py",
    "test_order_is_charged.py",
    "test_order_is_refunded.py",
    "test_orders_are_priced.py",
    "test_outcomes_in_review.py",
    "test_unknown_outcomes.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a quick run, leave out what is asked on SQLite too."""
    if thoroughness.THOROUGH:
        return
    flows = Path(__file__).parent / "flows"
    assert [name for name in _ON_ONE_DATABASE if not (flows / name).exists()] == []
    # By their names: comparing paths, test by test, takes a second.
    on_one = tuple(f"tests/flows/{name}" for name in _ON_ONE_DATABASE)
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        enough = "postgres" in item.name and item.nodeid.startswith(on_one)
        (left_out if enough else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of every garbage collection that follows."""
    gc.collect()
    gc.freeze()
    gc.enable()
