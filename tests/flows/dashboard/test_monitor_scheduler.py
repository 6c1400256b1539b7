"""Sources are asked at their interval; what they tell is shown, kept, recalled and alerted."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bursar import group_commit
from bursar.dashboard import leader_election
from bursar.dashboard.config import user_monitors
from bursar.dashboard.live_state import LiveState, Measurement
from bursar.dashboard.models import HistoryBucket, LeaderLease, SourceState
from bursar.verify import checks
from tests.conftest import Database
from tests.flows.dashboard.stage import NOON, Server, Stage, alerts, read, serving, staged


def toml(server: Server, more: str = "", values: str = "") -> str:
    told = values or '{ name = "EUR/USD", path = "usd", unit = "USD", warning_below = 1.0 }'
    return f'[apis.rates]\nurl = "{server.url}/rates"\nvalues = [{told}]\n{more}'


def usd(value: float) -> tuple[Measurement, ...]:
    level: Any = "ok" if value >= 1.0 else "warning"
    return (Measurement(name="EUR/USD", value=value, unit="USD", level=level),)


async def _proven() -> None:
    findings = await read(lambda: [f for f in checks.run_checks() if f.folder == "dashboard"])
    assert len(findings) == 4
    assert [finding for finding in findings if not finding.holds] == []


def test_an_api_is_asked_at_its_interval_and_kept(database: Database) -> None:
    async def story() -> None:
        async with serving() as server, staged(toml(server)) as stage:
            for value in (1.1, 1.3, 1.2):
                server.told = {"usd": value}
                await stage.pass_by(60)
            await stage.pass_by(30)  # nothing is due
            assert len(server.requests) == 3
            view = stage.view("api:rates")
            assert (view.state, view.measurements, view.sparkline) == (
                "ok",
                usd(1.2),
                (1.1, 1.3, 1.2),
            )
            assert (view.title, view.group, view.reason) == ("rates", "APIs", "")
            assert view.state_since == NOON + timedelta(seconds=60)
            row = await read(lambda: SourceState.objects.get(key="api:rates"))
            assert (row.state, row.alerted_level, row.sequence, row.sparkline) == (
                "ok",
                "ok",
                3,
                [1.1, 1.3, 1.2],
            )
            rows = await read(
                lambda: list(
                    HistoryBucket.objects.filter(series="EUR/USD").order_by("step_seconds")
                )
            )
            spans = [
                (r.step_seconds, r.count, r.min_value, r.max_value, round(r.total, 6), r.last_value)
                for r in rows
            ]
            assert spans == [(step, 3, 1.1, 1.3, 3.6, 1.2) for step in (300, 3600, 86_400)]

    asyncio.run(story())


def test_a_restart_shows_what_was_known_and_goes_on_counting(database: Database) -> None:
    async def story() -> None:
        async with serving() as server:
            async with staged(toml(server)) as stage:
                server.told = {"usd": 0.9}  # one observation of two
                await stage.pass_by(60)
                assert await alerts() == []
            server.status = 503
            async with staged(toml(server)) as stage:
                stage.seconds = 120
                await stage.watcher.tick()
                assert stage.view("api:rates").measurements == usd(0.9)
                await stage.watcher.wait_for_checks()
                view = stage.view("api:rates")
                assert (view.state, view.reason) == ("stale", "HTTP 503")
                assert view.measurements == usd(0.9)
                server.status = 200
                await stage.pass_by(60)
                assert await alerts() == [("api:rates", 1, "ok", "warning", "warning")]
                await _proven()

    asyncio.run(story())


def test_alerts_begin_and_end_after_so_many_observations(database: Database) -> None:
    async def story() -> None:
        async with serving() as server, staged(toml(server)) as stage:
            for value in (1.2, 0.9, 1.2, 0.9, 0.9, 0.9, 1.2, 1.2, 1.2, 1.2):
                server.told = {"usd": value}
                await stage.pass_by(60)
            assert await alerts() == [
                ("api:rates", 1, "ok", "warning", "warning"),
                ("api:rates", 2, "warning", "ok", "ok"),
            ]
            await _proven()

    asyncio.run(story())


def test_silence_is_told_once_it_has_lasted_and_its_end_too(database: Database) -> None:
    async def story() -> None:
        async with serving() as server, staged(toml(server)) as stage:
            server.told = {"usd": 1.2}
            await stage.pass_by(60)
            server.status = 404  # which is not tried again at once
            await stage.pass_by(60, times=2)
            assert stage.view("api:rates").state == "stale"
            assert await alerts() == []
            await stage.pass_by(60, times=3)
            assert await alerts() == [("api:rates", 1, "ok", "critical", "stale")]
            server.status = 200
            await stage.pass_by(60, times=3)
            assert stage.view("api:rates").state == "ok"
            assert (await alerts())[1:] == [("api:rates", 2, "critical", "ok", "ok")]
            await _proven()

    asyncio.run(story())


def test_what_never_answered_has_failed(database: Database) -> None:
    async def story() -> None:
        async with serving() as server, staged(toml(server)) as stage:
            server.status = 404
            await stage.pass_by(60, times=2)
            view = stage.view("api:rates")
            assert (view.state, view.last_success_at, view.reason) == (
                "failed",
                None,
                "HTTP 404",
            )
            await stage.pass_by(60, times=2)
            assert await alerts() == [("api:rates", 1, "ok", "critical", "failed")]

    asyncio.run(story())


VALUES = """
    { name = "number", path = "a.b[0]" }, { name = "flag", path = "flag", expected = "true" },
    { name = "text", path = "text", expected = "up" }, { name = "gone", path = "x.y" },
    { name = "list", path = "a" }, { name = "card", path = "card" },
    { name = "sum", path = "sum(a.b)", warning_above = 2, critical_above = 100 },
"""


def test_values_of_every_kind(database: Database) -> None:
    async def story() -> None:
        async with serving() as server, staged(toml(server, values=VALUES)) as stage:
            server.told = {
                "a": {"b": [1, 2]},
                "flag": True,
                "text": "down\u202e",
                "card": "4242 4242 4242 4242",
            }
            await stage.pass_by(60)
            view = stage.view("api:rates")
            assert {r.name: (r.value, r.level) for r in view.measurements} == {
                "number": (1.0, "ok"),
                "flag": ("true", "ok"),
                "text": ("down\ufffd", "critical"),
                "gone": (None, "warning"),
                "list": (None, "warning"),
                "card": ("[card number]", "ok"),
                "sum": (3.0, "warning"),
            }
            assert view.state == "critical"
            server.told = {"a": {"b": ["x"]}}
            await stage.pass_by(60)
            view = stage.view("api:rates")
            assert view.reason == "sum: path does not fit the response (JMESPathTypeError)"
            assert view.state == "stale"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("auth", "header", "sent"),
    [
        ('auth = "bearer"', "authorization", "Bearer s3cret"),
        ('auth = "header"\nheader = "X-Key"', "x-key", "s3cret"),
        ('auth = "basic"\nusername = "me"', "authorization", "Basic bWU6czNjcmV0"),
    ],
)
def test_a_secret_is_sent_and_shown_nowhere(
    sqlite_only: Database, monkeypatch: pytest.MonkeyPatch, auth: str, header: str, sent: str
) -> None:
    async def story(stage: Stage, server: Server) -> None:
        await stage.pass_by(60)
        assert stage.view("api:rates").reason == "secret RATES_TOKEN is not set"
        assert server.requests == []
        monkeypatch.setenv("RATES_TOKEN", "s3cret")
        server.status = 401
        await stage.pass_by(60)
        assert server.requests[0][1][header] == sent
        assert "s3cret" not in repr(stage.board.statuses())
        assert "s3cret" not in repr(stage.watcher._checks)

    async def told() -> None:
        async with (
            serving() as server,
            staged(toml(server, f'{auth}\nsecret = "RATES_TOKEN"')) as stage,
        ):
            await story(stage, server)

    asyncio.run(told())


def test_a_source_that_is_watched_no_more_leaves_and_its_alert_ends(database: Database) -> None:
    async def story() -> None:
        async with serving() as server:
            async with staged(toml(server)) as stage:
                server.told = {"usd": 0.5}
                await stage.pass_by(60, times=2)
            async with staged("") as stage:
                await stage.pass_by(60)
                assert stage.board.statuses() == []
                assert await alerts() == [
                    ("api:rates", 1, "ok", "warning", "warning"),
                    ("api:rates", 2, "warning", "ok", "warning"),
                ]
                assert await read(SourceState.objects.count) == 0
                await _proven()
            async with staged(toml(server)) as stage:
                await stage.pass_by(60, times=2)
                assert (await alerts())[2:] == [("api:rates", 3, "ok", "warning", "warning")]
                await _proven()

    asyncio.run(story())


def test_what_many_tell_at_once_is_written_in_parts(sqlite_only: Database) -> None:
    async def story() -> None:
        async with serving() as server:
            many = "".join(f'[apis.a{n}]\nurl = "{server.url}/{n}"\n' for n in range(120))
            async with staged(many) as stage:
                await stage.pass_by(60)
                assert {view.state for view in stage.board.statuses()} == {"ok"}
                seqs = await read(
                    lambda: list(SourceState.objects.values_list("sequence", flat=True))
                )
                assert sorted(seqs) == [*range(1, 121)]
                spans = HistoryBucket.objects.filter(series="duration_seconds", step_seconds=300)
                assert await read(spans.count) == 120

    asyncio.run(story())


# --- One leads, others follow ---------------------------------------------------------------------


async def _let_lease_run_out() -> None:
    await group_commit.commits.run(
        lambda: LeaderLease.objects.update(held_until=NOON - timedelta(days=1))
    )


def test_one_process_asks_and_another_shows_what_it_wrote(database: Database) -> None:
    async def story() -> None:
        async with serving() as server, staged(toml(server), alone=False) as stage:
            server.told = {"usd": 1.2}
            await stage.pass_by(60)
            board = LiveState()
            follower = stage.another(board=board, toml="")
            await follower.tick()
            assert board.statuses() == stage.board.statuses()
            assert (stage.watcher.is_leader, follower.is_leader, len(server.requests)) == (
                True,
                False,
                1,
            )
            server.told = {"usd": 0.9}
            await stage.pass_by(60)
            await follower.tick()
            assert board.statuses() == stage.board.statuses()
            await follower.stop()

    asyncio.run(story())


def test_another_takes_over_and_what_the_late_one_found_is_not_written(database: Database) -> None:
    async def story() -> None:
        async with serving() as server, staged(toml(server), alone=False) as stage:
            server.told = {"usd": 0.9}
            await stage.pass_by(60)
            successor = stage.another(board=LiveState())
            await successor.tick()
            assert not successor.is_leader
            await _let_lease_run_out()
            server.told = {"usd": 0.8}
            stage.seconds += 60
            await successor.tick()
            assert successor.is_leader
            await successor.wait_for_checks()
            await successor.tick()
            assert await alerts() == [("api:rates", 1, "ok", "warning", "warning")]

            server.told = {"usd": 5.0}  # which only the late one sees
            with pytest.raises(leader_election.LeaderLeaseLost):
                await stage.pass_by(60)
            row = await read(lambda: SourceState.objects.get(key="api:rates"))
            assert row.measurements[0]["value"] == 0.8
            stage.watcher.step_down()
            await stage.watcher.tick()
            assert stage.view("api:rates").measurements == usd(0.8)
            await successor.stop()
            stage.seconds += 10
            await stage.watcher.tick()  # it was given back, so nobody waits
            assert stage.watcher.is_leader
            await _proven()

    asyncio.run(story())


def test_while_nothing_can_be_written_the_board_goes_on_and_nothing_is_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with serving() as server, staged(toml(server)) as stage:
            server.told = {"usd": 0.9}
            await stage.pass_by(60)
            working = group_commit.commits
            closed = group_commit.GroupCommit()
            closed.close()
            monkeypatch.setattr(group_commit, "commits", closed)
            with pytest.raises(Exception, match="the process is shutting down"):
                await stage.pass_by(60)
            await stage.watcher.wait_for_checks()
            assert len(stage.view("api:rates").sparkline) == 2
            monkeypatch.setattr(group_commit, "commits", working)
            await stage.watcher.tick()
            assert await alerts() == [("api:rates", 1, "ok", "warning", "warning")]
            count = HistoryBucket.objects.filter(series="EUR/USD", step_seconds=300)
            assert await read(lambda: count.get().count) == 2

    asyncio.run(story())


# --- Entered by people ----------------------------------------------------------------------------


def test_what_people_enter_is_watched_within_seconds_but_no_private_address(
    database: Database,
) -> None:
    async def story() -> None:
        async with serving() as server, staged("") as stage:
            await stage.pass_by(60)
            told = {"url": f"http://localhost:{server.port}/", "interval_seconds": 10}
            await group_commit.commits.run(
                lambda: user_monitors.save(name="mine", config=told, active=True, now=NOON)
            )
            await stage.pass_by(10)
            view = stage.view("api:mine")
            assert (view.state, server.connections) == ("failed", 0)
            assert "not allowed" in view.reason
            await group_commit.commits.run(lambda: user_monitors.remove(name="mine", now=NOON))
            await stage.pass_by(10)
            assert stage.board.statuses() == []

    asyncio.run(story())
