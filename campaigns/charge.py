"""
The campaign `charge`: kill while money moves, then compare both books.

The sandbox, or a stand-in Stripe, is another process behind HTTP that loses, delays and garbles answers; the process
under test is killed at every named point and at random moments, and started again with the same
plan. It runs against each kind of provider there is: with keys, with look-ups, both, neither.
Each scenario is a process, and so is each life within it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import select
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from django.db import connections

from bursar import clock, group_commit, settings
from bursar.payments import provider_accounts
from campaigns import loop, mutants
from campaigns.bank import Bank, Capabilities, StripeBank
from campaigns.loop import Loop, Outcome
from tests import databases

BOTH, KEYS = Capabilities(keys=True, lookup=True), Capabilities(keys=True, lookup=False)
LOOKUP, NEITHER = Capabilities(keys=False, lookup=True), Capabilities(keys=False, lookup=False)
VARIANTS = (BOTH, KEYS, LOOKUP, NEITHER)
#: Capabilities under which a mutant is detectable: keys are repeated only without lookups.
MUTANT_CAPABILITIES = {mutants.NEW_KEY: KEYS}

#: Points at which a bug in charging, acknowledging or refunding may show.
CHARGING = (
    "begin place",
    "commit place",
    "before charge",
    "after charge",
    "begin finish charge",
    "commit finish charge",
    "committed finish charge",
    "after refund",
    "begin finish refund",
    "commit finish refund",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Size of a campaign: *sweeps* over all points (0: shared by the variants), random kills."""

    sweeps: int
    random_kills: int
    postgres_kills: int
    mutant_kills_max: int
    at_once: int = 3


TINY = Size(sweeps=-1, random_kills=2, postgres_kills=0, mutant_kills_max=0)
QUICK = Size(sweeps=0, random_kills=12, postgres_kills=16, mutant_kills_max=40)
RELEASE = Size(sweeps=4, random_kills=100, postgres_kills=150, mutant_kills_max=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One installation with one kind of provider, and its kills."""

    name: str
    powers: Capabilities
    seed: int
    points: tuple[str, ...]
    random_kills: int
    database: str = "sqlite"
    mutant: str = ""
    kills_max: int = 0
    provider: str = "sandbox"
    orders_a_life: int = loop.ORDERS_A_LIFE


BANKS: dict[str, type[Bank] | type[StripeBank]] = {"sandbox": Bank, "stripe": StripeBank}
#: Stripe finds charges by our key, too, but is asked only where repeating the key did not tell.
STRIPE_POINTS = KEYS


def at_stripe(size: Size, *, seed: int) -> list[Scenario]:
    """The same at the stand-in Stripe over HTTP: every point, at random, and two mutants."""
    dice = random.Random(f"stripe/{seed}")
    points = loop.all_points(STRIPE_POINTS) * max(size.sweeps, 1)
    dice.shuffle(points)
    real = Scenario(
        name="Stripe",
        powers=BOTH,
        seed=seed + 30,
        points=tuple(points),
        random_kills=size.random_kills,
        provider="stripe",
        orders_a_life=2 * loop.ORDERS_A_LIFE if size.sweeps < 4 else 4 * loop.ORDERS_A_LIFE,
    )
    if size.sweeps < 0:
        return [replace(real, points=tuple(points[:2]))]
    chosen = (mutants.NEW_KEY, mutants.NO_INTENT)
    hunted = [
        replace(one, powers=BOTH, provider="stripe", name=f"{one.mutant}, Stripe")
        for one in mutant_scenarios(size, seed=seed + 40)
        if one.mutant in chosen
    ]
    return [real, *hunted]


def scenarios(size: Size, *, seed: int, database: str) -> list[Scenario]:
    """Return scenarios of the real code with each kind of provider."""
    dice = random.Random(f"scenarios/{seed}")
    planned = []
    for number, powers in enumerate(VARIANTS if size.sweeps >= 0 else (BOTH,)):
        points = loop.all_points(powers)
        dice.shuffle(points)
        own_points = points * size.sweeps
        if size.sweeps == 0:
            own_points = _share(number, powers)
        if size.sweeps < 0:
            own_points = ["commit finish charge", "after charge"]
        planned.append(
            Scenario(
                name=powers.name,
                powers=powers,
                seed=seed + number,
                points=tuple(own_points),
                random_kills=size.random_kills,
                database=database,
            )
        )
    return planned


def _share(number: int, powers: Capabilities) -> list[str]:
    """Return the points of one variant when all variants together visit each point once."""
    shared = loop.all_points(NEITHER)
    own_points = shared[number :: len(VARIANTS)]
    if powers.lookup:
        lookup_points = [point for point in loop.all_points(powers) if point not in shared]
        own_points += lookup_points[VARIANTS.index(powers) // 2 :: 2]
    return own_points


def on_postgres(size: Size, *, seed: int) -> list[Scenario]:
    """Fewer kills, with the other database: one of the client, whose server lives on."""
    dice = random.Random(f"postgres/{seed}")
    kills = size.postgres_kills
    points = [point for point in loop.all_points(NEITHER) if "webhook" not in point]
    chosen = tuple(dice.sample(points * (1 + kills // len(points)), kills - kills // 4))
    return (
        [
            Scenario(
                name=BOTH.name,
                powers=BOTH,
                seed=seed + 10,
                points=chosen,
                random_kills=kills // 4,
                database="postgres",
            )
        ]
        if kills
        else []
    )


def mutant_scenarios(size: Size, *, seed: int) -> list[Scenario]:
    """Return scenarios of the mutants, each of which must be caught."""
    planned = []
    for number, mutant in enumerate(mutants.ALL):
        dice = random.Random(f"{mutant}/{seed}")
        points = [p for _ in range(12) for p in dice.sample(CHARGING, len(CHARGING))]
        planned.append(
            Scenario(
                name=mutant,
                powers=MUTANT_CAPABILITIES.get(mutant, BOTH),
                seed=seed + 20 + number,
                points=tuple(points),
                random_kills=0,
                mutant=mutant,
                kills_max=size.mutant_kills_max,
            )
        )
    return planned


Templates = dict[str, databases.Template]


@contextlib.contextmanager
def templates(folder: Path, names: set[str]) -> Iterator[Templates]:
    """Create migrated template databases."""
    by_database: Templates = {}
    with contextlib.ExitStack() as stack:
        if "sqlite" in names:
            (folder / "sqlite").mkdir()
            by_database["sqlite"] = databases.SQLiteTemplate(folder / "sqlite")
        if "postgres" in names:
            (folder / "postgres").mkdir()
            url = stack.enter_context(databases.postgres_server())
            by_database["postgres"] = databases.PostgresTemplate(url, folder=folder / "postgres")
        yield by_database


def play(scenario: Scenario, installation: settings.Settings) -> Outcome:
    """Run one scenario on an empty installation and judge it."""
    began = time.monotonic()
    home = installation.home
    bank = BANKS[scenario.provider](folder=home, powers=scenario.powers, seed=scenario.seed)
    try:
        _add_account(installation, bank)
        fire = Loop(
            installation=installation,
            bank=bank,
            powers=scenario.powers,
            seed=scenario.seed,
            mutant=scenario.mutant,
            orders_a_life=scenario.orders_a_life,
        )
        outcome = Outcome(
            name=scenario.name,
            database=scenario.database,
            seed=scenario.seed,
            mutant=scenario.mutant,
            folder=str(home),
        )
        (_hunt if scenario.mutant else _attack)(fire, scenario, outcome)
    finally:
        bank.stop()
    outcome.kills, outcome.missed = fire.kills, fire.missed
    outcome.seconds = round(time.monotonic() - began, 2)
    return outcome


def _attack(fire: Loop, scenario: Scenario, outcome: Outcome) -> None:
    """Perform all kills, then judge once."""
    every = max(1, len(scenario.points) // max(1, scenario.random_kills))
    done = 0
    for number, point in enumerate(scenario.points):
        fire.kill_at([point])
        if number % every == 0 and done < scenario.random_kills:
            fire.kill_at_random(1)
            done += 1
    fire.kill_at_random(scenario.random_kills - done)
    fire.finish()
    outcome.findings, outcome.counts = fire.judge()


def _hunt(fire: Loop, scenario: Scenario, outcome: Outcome) -> None:
    """Kill and judge repeatedly until the mutant is caught."""
    points = list(scenario.points)
    while not outcome.findings and fire.kills.total() < scenario.kills_max:
        fire.kill_at([points.pop(0)])
        fire.finish()
        outcome.findings, outcome.counts = fire.judge()
    fire.missed.clear()
    outcome.kills_until_caught = fire.kills.total()


def _add_account(installation: settings.Settings, bank: Bank | StripeBank) -> None:
    with databases.connected(installation):
        commits = group_commit.GroupCommit()
        config = bank.config()
        commits.run_blocking(
            lambda: provider_accounts.create_account(
                name=loop.ACCOUNT, provider=bank.provider, config=config, now=clock.now()
            )
        )
        # End the thread and the connection, so that later forks inherit neither.
        commits.close()
    connections.close_all()


def run(
    planned: Sequence[Scenario],
    *,
    at_once: int,
    on_outcome: Callable[[Outcome], None],
    keep: bool = False,
) -> list[Outcome]:
    """Run *planned* scenarios, *at_once* in parallel, each in a fork of this process."""
    folder = Path(tempfile.mkdtemp(prefix="bursar-campaign-"))
    outcomes: list[Outcome] = []
    try:
        with templates(folder, {one.database for one in planned}) as by_database:
            gc.freeze()  # so that the forks share what is imported
            waiting, running = list(planned), dict[int, tuple[int, Scenario]]()
            while waiting or running:
                while waiting and len(running) < at_once:
                    one = waiting.pop(0)
                    home = loop.folder_of(folder, f"{one.database} {one.name}")
                    pid, reading = _fork(one, by_database[one.database].copy(home=home))
                    running[reading] = pid, one
                for reading in select.select(list(running), [], [])[0]:
                    outcomes.append(_result(reading, *running.pop(reading), folder))
                    on_outcome(outcomes[-1])
    finally:
        if not keep and all(one.passed for one in outcomes) and len(outcomes) == len(planned):
            shutil.rmtree(folder, ignore_errors=True)
    return outcomes


def _fork(scenario: Scenario, installation: settings.Settings) -> tuple[int, int]:
    reading, writing = os.pipe()
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        os.close(reading)
        _play_and_report(scenario, installation, writing)
    os.close(writing)
    return pid, reading


def _play_and_report(scenario: Scenario, installation: settings.Settings, writing: int) -> NoReturn:
    try:
        text = json.dumps(play(scenario, installation).as_json())
        with os.fdopen(writing, "w") as answer:
            answer.write(text)
        os._exit(0)
    except BaseException:  # noqa: BLE001  (any failure must be printed)
        traceback.print_exc()
    finally:
        os._exit(1)


def _result(reading: int, pid: int, scenario: Scenario, folder: Path) -> Outcome:
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    if not text:
        return Outcome(
            name=scenario.name,
            database=scenario.database,
            seed=scenario.seed,
            mutant=scenario.mutant,
            folder=str(folder),
            missed=["the scenario crashed"],
        )
    values = json.loads(text)
    del values["passed"]
    values["kills"], values["counts"] = Counter(values["kills"]), Counter(values["counts"])
    return Outcome(**values)
