"""The loop: start a life, kill it, start the next; finally let one finish, and judge."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bursar import settings
from campaigns import books, child, judge, plan, points
from campaigns.bank import Bank, Capabilities, StripeBank

ACCOUNT = "campaign"
#: New orders for each life.
ORDERS_A_LIFE = 6
#: Mean life until a random kill, after the shortest.
RANDOM_SECONDS, SHORTEST_SECONDS = 0.08, 0.03
#: A life that has not come to its point by then is killed where it stands.
POINT_SECONDS = 3.0
FINISH_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Result of one scenario."""

    name: str
    database: str
    seed: int
    mutant: str = ""
    kills: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    kills_until_caught: int = 0
    seconds: float = 0.0
    folder: str = ""

    @property
    def passed(self) -> bool:
        """Whether the real code has no findings, or a mutant has some."""
        return bool(self.findings) == bool(self.mutant) and not self.missed

    @property
    def label(self) -> str:
        return self.name if self.database == "sqlite" else f"{self.name}, PostgreSQL"

    def as_json(self) -> dict[str, Any]:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**values, "passed": self.passed}


class Loop:
    """One installation and its provider during a scenario."""

    def __init__(
        self,
        *,
        installation: settings.Settings,
        bank: Bank | StripeBank,
        powers: Capabilities,
        seed: int,
        mutant: str = "",
        orders_a_life: int = ORDERS_A_LIFE,
    ) -> None:
        self.installation = installation
        self.bank = bank
        self.orders_a_life = orders_a_life
        self.powers = powers
        self.seed = seed
        self.mutant = mutant
        self.dice = random.Random(f"loop/{seed}/{powers.name}/{mutant}")
        self.kills: Counter[str] = Counter()
        self.missed: list[str] = []
        self.findings: list[str] = []
        self._limit = 0
        self._lives = 0
        self._delivered = 0
        self._acknowledged: defaultdict[int, set[str]] = defaultdict(set)
        self._refunded: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def url(self) -> str | None:
        url = self.installation.database_url
        return url.get_secret_value() if url is not None else None

    def kill_at_random(self, times: int) -> None:
        """Kill *times* lives at random times."""
        for _ in range(times):
            seconds = SHORTEST_SECONDS + self.dice.expovariate(1 / RANDOM_SECONDS)
            if self._live(seconds=seconds) == "":
                self.kills["at random"] += 1

    def kill_at(self, kill_points: Sequence[str]) -> None:
        """Kill a life at each of *kill_points*; a point that is never reached is `missed`."""
        for point in kill_points:
            for tries in range(4):
                nth = self.dice.randint(1, 3) if tries == 0 else 1
                if "postpone" in point or (tries and "check_attempt_status" in point):
                    self._leave_unsent()
                reached = self._live(seconds=POINT_SECONDS, point=point, nth=nth)
                self.kills[reached or "at random"] += 1
                if reached:
                    break
            else:
                self.missed.append(point)

    def _leave_unsent(self) -> None:
        """Leave attempts that were never sent: status checks of the next life find nothing."""
        point = "committed intend charge"
        reached = self._live(seconds=POINT_SECONDS, point=point)
        self.kills[reached or "at random"] += 1

    def finish(self) -> None:
        """Let a last life finish all remaining work."""
        if self._live(seconds=FINISH_SECONDS, finish=True) != "done":
            self.findings.append(f"never_finished: something was left after {FINISH_SECONDS} s")

    def judge(self) -> tuple[list[str], Counter[str]]:
        """Return the findings and the counts of what was judged."""
        path = None if self.url else self.installation.sqlite_path
        case = judge.Case(
            ours=books.read(sqlite_path=path, database_url=self.url),
            theirs=self.bank.objects(),
            balances=self.bank.balances(),
            account=ACCOUNT,
            resolves_outcomes=self.powers.resolves_outcomes,
            plan={
                number: plan.order(self.seed, number, self.bank.provider)
                for number in range(self._limit)
            },
            acknowledged=self._acknowledged,
            refunded=self._refunded,
        )
        findings = self.findings + judge.judge(case)
        if path is not None and (integrity := books.broken_pages(path)) != "ok":
            findings.append(f"broken_file: {integrity}")
        return findings, _counts(case)

    def _live(self, *, seconds: float, point: str = "", nth: int = 1, finish: bool = False) -> str:
        """
        Start a life and wait for its end, at most *seconds*; returns the point where it died,
        "done", or "" where it was killed for time.
        """
        self._lives += 1
        self._limit += 0 if finish else self.orders_a_life
        # Webhooks come in time, and late: in some lives only, and in the last.
        delivers = finish or "webhook" in point or self._lives % 3 == 0
        life = child.Life(
            home=self.installation.home,
            database_url=self.url,
            account=ACCOUNT,
            sandbox=self.bank.url,
            provider=self.bank.provider,
            seed=self.seed,
            point=point,
            nth=nth,
            finish=finish,
            todo=tuple(n for n in range(self._limit) if n not in self._acknowledged),
            delivered=self._delivered if delivers else None,
            mutant=self.mutant,
        )
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            child.live(life, writing)
        os.close(writing)
        lines = _until_end(reading, pid, seconds)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            self.findings.append(f"died_by_itself: see {life.home / 'child.log'}")
        return self._record_lines(lines)

    def _record_lines(self, lines: list[str]) -> str:
        end = ""
        for line in lines:
            what, *words = line.split()
            if what == "O":
                self._acknowledged[int(words[0])].add(words[1])
            elif what == "R":
                self._refunded[words[0]].add(words[1])
            elif what == "W":
                self._delivered = max(self._delivered, int(words[0]))
            elif what == "F":
                self.findings.append(f"forged_accepted: {words[0]}")
            else:
                end = " ".join(words) if what == "P" else "done"
        return end


def _until_end(reading: int, pid: int, seconds: float) -> list[str]:
    """Read the output of *pid* until it ends; kill it after *seconds*."""
    output = b""
    deadline = time.monotonic() + seconds
    killed = False
    while True:
        wait = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([reading], [], [], None if killed else wait)
        if not ready:
            os.kill(pid, signal.SIGKILL)
            killed = True  # its earlier output is still in the pipe
            continue
        part = os.read(reading, 65_536)
        if not part:
            break
        output += part
    os.close(reading)
    # A line is written at once or not at all.
    return output.decode().splitlines()


def _counts(case: judge.Case) -> Counter[str]:
    ours, theirs = case.ours, case.theirs
    collected = {one["key"] for one in theirs if one["kind"] == "charge"}
    return Counter(
        {
            "orders": len(ours["orders"]),
            "acknowledged": len(case.acknowledged),
            "charges": sum(
                1 for one in theirs if one["kind"] == "charge" and one["captured_minor"]
            ),
            "refunds": sum(1 for one in theirs if one["kind"] == "refund"),
            "attempts": len(ours["attempts"]),
            "unknown": sum(1 for row in ours["attempts"] if row["was_unknown"]),
            "unknown resolved": sum(
                1
                for row in ours["attempts"]
                if row["was_unknown"] and row["status"] not in judge.LIVE
            ),
            "not sent": sum(1 for row in ours["attempts"] if row["status"] == "not_sent"),
            "webhooks": len(ours["events"]),
            "reviews open": sum(1 for row in ours["reviews"] if row["resolved_at"] is None),
            "reviews closed": sum(1 for row in ours["reviews"] if row["resolved_at"] is not None),
            "in doubt and charged": len(collected & case.in_review),
        }
    )


def all_points(powers: Capabilities) -> list[str]:
    """The named points that a run with *powers* passes."""
    return points.all_points(lookup=powers.lookup)


def folder_of(base: Path, name: str) -> Path:
    """A folder for one scenario."""
    folder = base / name.replace(" ", "-").replace("/", "-").replace("+", "and")
    folder.mkdir(parents=True)
    return folder
