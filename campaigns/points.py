"""
The named points at which a process is killed, and the trap that kills it there.

`<event> <member>`: an event of `group_commit`'s watch and a member of the batch. `before` and
`after` name a call of the provider. Nothing in `src` depends on this.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, cast

from bursar.providers.interface import PaymentProvider, Result

EVENTS = ("begin", "commit", "committed")
#: Members that every life meets.
MEMBERS = (
    "place",
    "claim",
    "intend charge",
    "finish charge",
    "open refund",
    "intend refund",
    "finish refund",
    "open check_attempt_status",
    "finish check_attempt_status",
    "receive webhook",
    "finish process_webhook",
)
CALLS = ("charge", "refund")
#: What only a provider that looks up by key lets happen.
LOOKUP_POINTS = (
    "before get_status",
    "after get_status",
    *(f"{event} postpone check_attempt_status" for event in EVENTS),
)


def all_points(*, lookup: bool) -> list[str]:
    """Every named point that a run against a sandbox with or without *lookup* passes."""
    named = [f"{event} {member}" for member in MEMBERS for event in EVENTS]
    named += [f"{when} {call}" for call in CALLS for when in ("before", "after")]
    return named + list(LOOKUP_POINTS if lookup else ())


def name_of(member: Callable[..., Any]) -> str:
    """
    What a member of a batch is, in words; its qualified name where there are none.

    The worker's own writes are told apart by the job whose lease they hold.
    """
    code = getattr(member, "__code__", None)
    module = getattr(member, "__module__", "").rpartition(".")[2]
    captured = dict(zip(code.co_freevars, member.__closure__ or (), strict=True)) if code else {}
    lease = captured["lease"].cell_contents if "lease" in captured else None
    job = getattr(lease, "name", "")
    words = f"{module}.{member.__qualname__}"
    if code and words == CHECK and OPEN not in code.co_names:
        return "tell check_attempt_status"
    return NAMES.get(words, words).replace("JOB", job)


#: Two members of one function: the one that calls `OPEN` is "open check_attempt_status".
CHECK, OPEN = "status_checks.check_attempt_status.<locals>.<lambda>", "_load_case"
#: Module, qualified name, and the words; tests/contracts/test_campaign.py finds each in the code.
NAMES = {
    "child._place.<locals>.place": "place",
    "child._open_refund.<locals>.open_refund": "open refund",
    "worker.Worker._claim.<locals>.claim": "claim",
    "worker.Worker._run_job.<locals>.<lambda>": "finish JOB",
    "worker.Worker._retry.<locals>.retry": "postpone JOB",
    "worker.Worker._extend_leases.<locals>.extend": "extend leases",
    "charges.charge.<locals>.<lambda>": "intend charge",
    "refunds.refund.<locals>.<lambda>": "intend refund",
    CHECK: "open check_attempt_status",
    "attempts.execute.<locals>.<lambda>": "not sent",
    "inbox.receive_sync.<locals>.<lambda>": "receive webhook",
}


class Trap:
    """
    Kill this process, as `kill -9` does, when *point* is passed for the *nth* time.

    The point is written to the file descriptor *report_fd* first.
    """

    def __init__(self, *, point: str, nth: int, report_fd: int) -> None:
        self._point = point
        self._remaining = nth
        self._report_fd = report_fd

    def reach(self, point: str) -> None:
        """Pass a point, or die there."""
        if point != self._point:
            return
        self._remaining -= 1
        if self._remaining <= 0:
            os.write(self._report_fd, f"P {point}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, event: str, members: Sequence[Callable[..., Any]]) -> None:
        """Watch of `group_commit.GroupCommit`: reach the points of a batch."""
        if self._point.startswith(f"{event} "):
            for name in sorted({name_of(member) for member in members}):
                self.reach(f"{event} {name}")


def watched(provider: PaymentProvider, trap: Trap) -> PaymentProvider:
    """*provider* with a trap before and after each call; whatever it declares stays the same."""

    def trapped(name: str) -> Callable[..., Any]:
        async def call(self: Any, request: Any, /) -> Result:
            trap.reach(f"before {name}")
            try:
                result: Result = await getattr(type(provider), name)(self, request)
                return result
            finally:
                trap.reach(f"after {name}")

        return call

    methods = {name: trapped(name) for name in ("charge", "refund", "get_status")}
    proxy: Any = object.__new__(type("Watched", (type(provider),), {"__slots__": (), **methods}))
    proxy.__init__(provider.config)  # __new__ may pick the class by config
    return cast(PaymentProvider, proxy)
