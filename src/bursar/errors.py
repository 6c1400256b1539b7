"""
Base classes of all errors, by what the caller has to do next.

    BursarError
      Invalid          change the request                          422
      Denied           authenticate, or get permission             401, 403
      NotFound         no such object                              404
      Conflict         not possible in the object's state          409
      Declined         declined by the provider, final             402
      Unavailable      nothing happened; retry later               503, Retry-After
      OutcomeUnknown   money may have moved; check the status      502, never retry blindly

Subclasses are defined next to the function that raises them; only general ones are here.
"""

from __future__ import annotations

from typing import ClassVar


class BursarError(Exception):
    """
    Base class of errors that are reported to the caller.

    *code* is a stable machine-readable code; *facts* are values for the log and must not contain
    secrets. *status* is the HTTP status; None for errors that no request can cause: they occur on
    the command line, at start or in a job.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int | None] = None

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class Invalid(BursarError):
    """The request is invalid; a retry fails until it is changed."""

    code = "invalid"
    status: ClassVar[int | None] = 422


class Denied(BursarError):
    """The caller is not authenticated or not authorized."""

    code = "denied"
    status: ClassVar[int | None] = 403


class NotFound(BursarError):
    """The object does not exist, or the caller has no access to it."""

    code = "not_found"
    status: ClassVar[int | None] = 404


class Conflict(BursarError):
    """The state of the object does not allow the operation."""

    code = "conflict"
    status: ClassVar[int | None] = 409


class Declined(BursarError):
    """The provider declined the operation; the decline is final."""

    code = "declined"
    status: ClassVar[int | None] = 402


class Unavailable(BursarError):
    """Nothing happened; the same call may be retried, after *after_seconds* if given."""

    code = "unavailable"
    status: ClassVar[int | None] = 503

    def __init__(
        self, message: str, *, after_seconds: float | None = None, **facts: object
    ) -> None:
        super().__init__(message, **facts)
        self.after_seconds = after_seconds


class OutcomeUnknown(BursarError):
    """The operation may have been executed; check its status, never retry it blindly."""

    code = "outcome_unknown"
    status: ClassVar[int | None] = 502


class ValidationError(Invalid):
    """
    A value is invalid.

    *param* is the field; *line* is its line in a file, from 1.
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
    """The `Idempotency-Key` header is missing."""

    code = "idempotency_key_missing"
    status = 400


class IdempotencyKeyReused(ValidationError):
    """The idempotency key was used with a different request (draft-ietf-httpapi-idempotency-key)."""

    code = "idempotency_key_reused"


class ContentTooLarge(Invalid):
    """The request body exceeds the limit of this endpoint (RFC 9110 section 15.5.14)."""

    code = "content_too_large"
    status = 413


class ExternalAPIError(Unavailable):
    """An external API certainly did nothing: it was not reached, or it rejected the call."""

    code = "external_api_error"


class RetryableError(Unavailable):
    """A temporary condition (a lock, a full queue) prevented the work; it may be retried."""

    code = "retryable_error"


class WorkerProcessDied(Unavailable):
    """A worker process ended before its work was done: it was killed, or out of memory."""

    code = "worker_process_died"
    status = None
