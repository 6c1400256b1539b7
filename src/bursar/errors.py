"""
The seven roots of every error, told apart by what the caller does next.

    BursarError
      Invalid          change the request                          422
      Denied           say who you are, or you may not             401, 403
      NotFound         no such thing                               404
      Conflict         it is in another state                      409
      Declined         the provider's final no                     402
      Unavailable      nothing was sent; try later                 503, Retry-After
      OutcomeUnknown   money may have moved; look it up            502, never retried blindly

Leaves live beside the function that raises them; only those of general use are here.
"""

from __future__ import annotations

from typing import ClassVar


class BursarError(Exception):
    """
    Something the caller can be told about.

    *code* is a stable word for machines; *facts* are values for the log and must hold no secret.
    *status* is the HTTP status of a request that ends in it; None where no request can: such an
    error is met on the command line, at start or in a job.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int | None] = None

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class Invalid(BursarError):
    """The request itself is wrong; it will be wrong again until it is changed."""

    code = "invalid"
    status: ClassVar[int | None] = 422


class Denied(BursarError):
    """The caller is unknown or may not do this."""

    code = "denied"
    status: ClassVar[int | None] = 403


class NotFound(BursarError):
    """There is no such thing, or it is not yours to see."""

    code = "not_found"
    status: ClassVar[int | None] = 404


class Conflict(BursarError):
    """The thing is in a state in which this cannot be done."""

    code = "conflict"
    status: ClassVar[int | None] = 409


class Declined(BursarError):
    """The provider said no, and that is final."""

    code = "declined"
    status: ClassVar[int | None] = 402


class Unavailable(BursarError):
    """Nothing was sent and nothing happened; the same call may be made again later."""

    code = "unavailable"
    status: ClassVar[int | None] = 503

    def __init__(
        self, message: str, *, after_seconds: float | None = None, **facts: object
    ) -> None:
        super().__init__(message, **facts)
        self.after_seconds = after_seconds


class OutcomeUnknown(BursarError):
    """The request may have been carried out; look it up, never repeat it blindly."""

    code = "outcome_unknown"
    status: ClassVar[int | None] = 502


class ValidationError(Invalid):
    """
    One value broke a rule.

    *param* names the field, *line* (1 is the first line of a file) where it stood.
    """

    code = "validation_error"

    def __init__(
        self, message: str, *, param: str | None = None, line: int | None = None, **facts: object
    ) -> None:
        super().__init__(message, **facts)
        self.param = param
        self.line = line

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line is not None else []
        where += [self.param] if self.param else []
        return f"{', '.join(where)}: {self.message}" if where else self.message


class IdempotencyKeyMissing(ValidationError):
    """The request needs an `Idempotency-Key`."""

    code = "idempotency_key_missing"
    status = 400


class IdempotencyKeyReused(ValidationError):
    """The idempotency key came before with another request (draft-ietf-httpapi-idempotency-key)."""

    code = "idempotency_key_reused"


class ContentTooLarge(Invalid):
    """The body is larger than any that is accepted at this address (RFC 9110 section 15.5.14)."""

    code = "content_too_large"
    status = 413


class ExternalAPIError(Unavailable):
    """A foreign API surely did nothing: it was not reached, or it turned the call away."""

    code = "external_api_error"


class RetryableError(Unavailable):
    """Our own work could not be done now (a lock, a full queue) and may be tried again."""

    code = "retryable_error"


class WorkerProcessDied(Unavailable):
    """A process of ours ended before its work was done: it was killed, or out of memory."""

    code = "worker_process_died"
    status = None
