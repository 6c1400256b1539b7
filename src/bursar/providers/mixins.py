"""
What wraps a provider: logging, and retrying what surely was not carried out.

`LoggingMixin` and `RetryMixin` wrap `charge`, `refund` and `get_status` by `super()`, so they stand
before the class that has those methods:

    class AcmeBank(JsonOverHttp, PaymentProvider): ...        # charge, refund, get_status
    class AcmeProvider(LoggingMixin, RetryMixin, AcmeBank): __slots__ = ()

Every mixin has empty `__slots__`: two with slots of their own could not be combined.
"""

# The wrapping methods call the class after them; `registry` refuses a provider with none there.
# mypy: disable-error-code="safe-super"

from __future__ import annotations

import asyncio
import operator
import random
from collections.abc import Awaitable, Callable
from typing import ClassVar

from bursar import errors
from bursar.decorators import ExponentialBackoff, log_call, retry
from bursar.providers.interface import (
    ChargeRequest,
    PaymentProvider,
    RefundRequest,
    Result,
    StatusRequest,
)


def _outcome_label(result: Result) -> str:
    return result.outcome.value


# At DEBUG, for a clear answer is in the books anyway; what raised is a WARNING. Who paid, with
# what and how much is not shown.
_log_operation = log_call(
    show={"provider": "self.name", "key": "request.key"},
    level="debug",
    outcome=_outcome_label,
    event="provider_request",
)


class LoggingMixin(PaymentProvider):
    """Logs every operation: clear answers at DEBUG, trouble at WARNING; never who or what for."""

    __slots__ = ()

    @_log_operation
    async def charge(self, request: ChargeRequest, /) -> Result:
        """Charge, and log it."""
        return await super().charge(request)

    @_log_operation
    async def refund(self, request: RefundRequest, /) -> Result:
        """Refund, and log it."""
        return await super().refund(request)

    @_log_operation
    async def get_status(self, request: StatusRequest, /) -> Result:
        """Look up, and log it."""
        return await super().get_status(request)


async def _sleep(seconds: float) -> None:
    await RetryMixin.sleep(seconds)


def _random() -> float:
    return RetryMixin.random()


# Nothing was sent, or it was turned away (`errors.Unavailable`): the same key may be sent again.
# A provider that wants more time than the deadline is not waited for: the queue does that better.
_retry_unavailable = retry(
    3,
    errors.Unavailable,
    ExponentialBackoff(first_seconds=0.1, cap_seconds=2.0),
    key="request.key",
    deadline_seconds=2.0,
    dependency=operator.attrgetter("name"),
    sleep=_sleep,
    random=_random,
)


class RetryMixin(PaymentProvider):
    """
    Calls again, under the same key, what was surely not carried out (`errors.Unavailable`).

    At most 3 calls within 2 seconds, with waits of up to 0.1 and 0.2 seconds (full jitter) on top
    of what the provider asks for; none while most calls of the provider fail (`RetryBudget`).
    """

    __slots__ = ()

    sleep: ClassVar[Callable[[float], Awaitable[None]]] = staticmethod(asyncio.sleep)
    random: ClassVar[Callable[[], float]] = staticmethod(random.random)

    @_retry_unavailable
    async def charge(self, request: ChargeRequest, /) -> Result:
        """Charge, again where nothing happened."""
        return await super().charge(request)

    @_retry_unavailable
    async def refund(self, request: RefundRequest, /) -> Result:
        """Refund, again where nothing happened."""
        return await super().refund(request)

    @_retry_unavailable
    async def get_status(self, request: StatusRequest, /) -> Result:
        """Look up, again where there was no answer."""
        return await super().get_status(request)


#: Classes that only wrap the three methods of a provider.
WRAPPERS: tuple[type[PaymentProvider], ...] = (LoggingMixin, RetryMixin)
