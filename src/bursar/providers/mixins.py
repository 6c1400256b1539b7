"""
Mixins for providers: logging, and retries of calls that were not carried out.

`LoggingMixin` and `RetryMixin` wrap `charge`, `refund` and `get_status` by `super()`, so they come
before the class that defines these methods:

    class AcmeBank(HttpProvider, PaymentProvider): ...        # charge, refund, get_status
    class AcmeProvider(LoggingMixin, RetryMixin, AcmeBank): __slots__ = ()

Every mixin has empty `__slots__`: two classes with non-empty slots cannot be combined.
"""

# The methods call the next class of the MRO; `registry` rejects a provider that defines none.
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


# DEBUG: clear results are stored anyway; exceptions are logged as WARNING. Amount, buyer and
# payment method are not logged.
_log_operation = log_call(
    show={"provider": "self.name", "key": "request.key"},
    level="debug",
    outcome=_outcome_label,
    event="provider_request",
)


class LoggingMixin(PaymentProvider):
    """Logs `provider_request` for each call: results at DEBUG, exceptions at WARNING."""

    __slots__ = ()

    @_log_operation
    async def charge(self, request: ChargeRequest, /) -> Result:
        """Charge, and log the call."""
        return await super().charge(request)

    @_log_operation
    async def refund(self, request: RefundRequest, /) -> Result:
        """Refund, and log the call."""
        return await super().refund(request)

    @_log_operation
    async def get_status(self, request: StatusRequest, /) -> Result:
        """Look up the status, and log the call."""
        return await super().get_status(request)


async def _sleep(seconds: float) -> None:
    await RetryMixin.sleep(seconds)


def _random() -> float:
    return RetryMixin.random()


# `errors.Unavailable`: the operation was not carried out, so the same key may be sent again. Longer
# waits than the deadline are left to the job queue.
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
    Retries calls that were not carried out (`errors.Unavailable`), with the same key.

    At most 3 attempts within 2 seconds, with waits of up to 0.1 and 0.2 seconds (full jitter) plus
    the provider's Retry-After; no retries while most calls of the provider fail (`RetryBudget`).
    """

    __slots__ = ()

    sleep: ClassVar[Callable[[float], Awaitable[None]]] = staticmethod(asyncio.sleep)
    random: ClassVar[Callable[[], float]] = staticmethod(random.random)

    @_retry_unavailable
    async def charge(self, request: ChargeRequest, /) -> Result:
        """Charge; retry if unavailable."""
        return await super().charge(request)

    @_retry_unavailable
    async def refund(self, request: RefundRequest, /) -> Result:
        """Refund; retry if unavailable."""
        return await super().refund(request)

    @_retry_unavailable
    async def get_status(self, request: StatusRequest, /) -> Result:
        """Look up the status; retry if unavailable."""
        return await super().get_status(request)


#: Classes that only wrap the required methods of a provider.
WRAPPERS: tuple[type[PaymentProvider], ...] = (LoggingMixin, RetryMixin)
