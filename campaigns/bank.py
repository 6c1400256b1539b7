"""A provider in a separate process, which survives the kills, and access to its book."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from bursar.payments import facts
from bursar.providers.sandbox import serializers, server
from bursar.providers.stripe import snapshots
from tests import faulty_database
from tests.stripe import server as stand_in
from tests.stripe.simulator import StripeSimulator

#: 5 % time-outs after charging, 5 % lost requests, 1 % garbage.
FAULTS = ("--timeouts", "0.05", "--lost", "0.05", "--garbage", "0.01")
#: The same, as the server before the stand-in Stripe has them.
CHANCES = {"timeout_after": 0.05, "lost": 0.05, "garbage": 0.01}
FEES = {"fee_basis_points": 150, "fee_fixed_minor": 20}
#: How long a call of ours waits for an answer that does not come.
TIMEOUT_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Capabilities of the provider that can resolve an unknown outcome."""

    keys: bool
    lookup: bool

    @property
    def name(self) -> str:
        words = [word for word, has in (("keys", self.keys), ("lookup", self.lookup)) if has]
        return " + ".join(words) or "neither"

    @property
    def resolves_outcomes(self) -> bool:
        """Whether an unknown outcome can be resolved."""
        return self.keys or self.lookup


class Bank:
    """A running sandbox; `stop` it at the end."""

    provider = "sandbox"

    def __init__(self, *, folder: Path, powers: Capabilities, seed: int) -> None:
        self._powers = powers
        arguments = _arguments(folder, powers, seed)
        self._process = _Process(folder, lambda: server.main(arguments))
        self.url = self._process.url

    def config(self) -> dict[str, Any]:
        """Return the configuration of its provider account."""
        return {
            "url": self.url,
            "timeout_seconds": TIMEOUT_SECONDS,
            "idempotency_keys": self._powers.keys,
            "lookup_by_key": self._powers.lookup,
        }

    def objects(self) -> list[dict[str, Any]]:
        """Everything in its book, as it tells it over HTTP."""
        snapshots_read: list[dict[str, Any]] = []
        position = 0
        while page := self._get(f"/v1/objects?after={position}"):
            snapshots_read += [snapshot for one in page for snapshot in one["snapshots"]]
            position = page[-1]["position"]
        return snapshots_read

    def balances(self) -> dict[str, int]:
        """Return its balance owed to us, by currency."""
        balances: dict[str, int] = self._get("/v1/balances")
        return balances

    def stop(self) -> None:
        self._process.stop()

    def _get(self, path: str) -> Any:
        return _get(self.url, path)


class StripeBank:
    """The fake Stripe behind a proxy with faults, both in one separate process."""

    provider = "stripe"

    def __init__(self, *, folder: Path, powers: Capabilities, seed: int) -> None:
        del powers  # Stripe has both
        # Secrets are not in the database; every life is a fork of this process.
        name = "BURSAR_CAMPAIGN_"
        os.environ[f"{name}API_KEY"], os.environ[f"{name}WEBHOOK_SECRET"] = (
            stand_in.KEY,
            stand_in.SECRET,
        )
        self._process = _Process(folder, lambda: asyncio.run(_stripe(seed)))
        self.url = self._process.url

    def config(self) -> dict[str, Any]:
        """Return the configuration of its provider account."""
        return {"url": self.url, "timeout_seconds": TIMEOUT_SECONDS}

    def objects(self) -> list[dict[str, Any]]:
        """Every object in its book, and the fee of each, in the words of the sandbox's."""
        stripe_snapshots = [
            s for one in _get(self.url, "/control/objects") for s in snapshots.read_object(one)
        ]
        return [
            serializers.snapshot_out(part)
            for one in stripe_snapshots
            for part in facts.split_snapshot(one)
        ]

    def balances(self) -> dict[str, int]:
        """Return its balance owed to us, by currency."""
        available = _get(self.url, "/control/balance")["available"]
        return {one["currency"].upper(): one["amount"] for one in available if one["amount"]}

    def stop(self) -> None:
        self._process.stop()


async def _stripe(seed: int) -> None:
    book = StripeSimulator(basis_points=150, fixed=25, now=int(time.time()))
    inner = web.AppRunner(stand_in.application(book), access_log=None)
    await inner.setup()
    await web.TCPSite(inner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{inner.addresses[0][1]}"
    app = faulty_database.before(url, chances=CHANCES, seed=seed)
    outer = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await outer.setup()
    await web.TCPSite(outer, "127.0.0.1", 0).start()
    print(f"port={outer.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=10) as answer:
        return json.load(answer)


class _Process:
    """A server in a fork of this process, which reports its port and ends with this process."""

    def __init__(self, folder: Path, serve: Callable[[], None]) -> None:
        reading, writing = os.pipe()
        lifeline, self._lifeline = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _serve(folder, writing, lifeline, serve)
        os.close(writing)
        os.close(lifeline)
        with os.fdopen(reading) as output:
            line = output.readline()
        if not line.startswith("port="):
            raise RuntimeError(f"the provider did not start; see {folder / 'sandbox.log'}")
        self.url = f"http://127.0.0.1:{int(line.removeprefix('port='))}"

    def stop(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._lifeline)


def _arguments(folder: Path, powers: Capabilities, seed: int) -> list[str]:
    arguments = ["--store", str(folder / "sandbox.sqlite3"), "--seed", str(seed), *FAULTS]
    # It survives our kills because it is another process; a power cut is not what is tried here.
    arguments += ["--not-durable"]
    for name, value in FEES.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    arguments += [] if powers.keys else ["--no-idempotency-keys"]
    return arguments + ([] if powers.lookup else ["--no-lookup-by-key"])


def _serve(folder: Path, writing: int, lifeline: int, serve: Callable[[], None]) -> None:
    try:
        os.dup2(writing, 1)
        os.dup2(os.open(folder / "sandbox.log", os.O_WRONLY | os.O_CREAT, 0o600), 2)
        os.dup2(lifeline, 3)
        os.closerange(4, 256)  # inherited pipe ends would keep their readers waiting
        sys.stdout = os.fdopen(1, "w", closefd=False)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        serve()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        os._exit(1)


def _end_with_parent() -> None:
    os.read(3, 1)  # nothing is ever written: it returns when the other end is closed
    os._exit(0)
