"""A provider that fails all the time, or refuses our key, is left alone for a while."""

from __future__ import annotations

import orjson
import pytest

from bursar import errors
from bursar.providers import circuit_breaker
from bursar.providers.circuit_breaker import CircuitBreaker, CircuitState


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("acme", monotonic=clock)


def fail(circuit: CircuitBreaker, times: int = circuit_breaker.FAILURES_MAX) -> None:
    for _ in range(times):
        circuit.before_call()
        circuit.record_failure("no answer")


def test_it_opens_after_so_many_failures_in_a_row(circuit: CircuitBreaker) -> None:
    fail(circuit, circuit_breaker.FAILURES_MAX - 1)
    before = circuit.state
    fail(circuit, 1)
    assert (before, circuit.state) == (CircuitState.CLOSED, CircuitState.OPEN)
    with pytest.raises(
        errors.ExternalAPIError,
        match=r"acme: circuit open, no calls for 5 s; last error: no answer",
    ):
        circuit.before_call()


def test_a_clear_answer_between_counts_anew(circuit: CircuitBreaker) -> None:
    fail(circuit, circuit_breaker.FAILURES_MAX - 1)
    circuit.before_call()
    circuit.record_success()
    fail(circuit, circuit_breaker.FAILURES_MAX - 1)
    assert circuit.state is CircuitState.CLOSED


def test_after_its_time_one_call_probes_and_all_others_wait(
    circuit: CircuitBreaker, clock: Clock
) -> None:
    fail(circuit)
    clock.seconds += 5
    assert circuit.state is CircuitState.HALF_OPEN
    circuit.before_call()
    with pytest.raises(errors.ExternalAPIError):
        circuit.before_call()
    circuit.record_success()
    assert (circuit.state, circuit.reason) == (CircuitState.CLOSED, "")


def test_a_probe_that_fails_doubles_the_time_up_to_a_minute(
    circuit: CircuitBreaker, clock: Clock
) -> None:
    fail(circuit)
    waited = []
    for _ in range(6):
        with pytest.raises(errors.ExternalAPIError) as caught:
            circuit.before_call()
        waited.append(caught.value.after_seconds)
        clock.seconds += caught.value.after_seconds or 0
        fail(circuit, 1)
    assert waited == [5, 10, 20, 40, 60, 60]


def test_calls_that_were_under_way_when_it_opened_do_not_keep_it_open(
    circuit: CircuitBreaker, clock: Clock
) -> None:
    at_once = 3 * circuit_breaker.FAILURES_MAX
    for _ in range(at_once):
        circuit.before_call()
    for _ in range(at_once):
        circuit.record_failure("no answer")
        clock.seconds += 0.01
    clock.seconds += 5
    assert circuit.state is CircuitState.HALF_OPEN


def test_a_probe_that_was_given_up_lets_another_one_in(
    circuit: CircuitBreaker, clock: Clock
) -> None:
    fail(circuit)
    clock.seconds += 5
    circuit.before_call()
    circuit.record_cancelled()
    circuit.before_call()


def test_a_refused_key_opens_it_at_once_for_a_minute(circuit: CircuitBreaker, clock: Clock) -> None:
    circuit.before_call()
    circuit.record_failure("401", open_now=True)
    seen = []
    for seconds in (59, 1):
        clock.seconds += seconds
        seen.append(circuit.state)
    assert seen == [CircuitState.OPEN, CircuitState.HALF_OPEN]


def test_every_circuit_is_known_to_the_metrics(circuit: CircuitBreaker) -> None:
    assert circuit in circuit_breaker.circuits


def test_the_log_names_what_the_circuit_is_of(
    clock: Clock, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    for kind in ("provider", "host"):
        fail(CircuitBreaker("there", kind=kind, monotonic=clock))
    told = [orjson.loads(line) for line in capsysbinary.readouterr().err.splitlines()]
    assert [(line.get("provider"), line.get("host")) for line in told] == [
        ("there", None),
        (None, "there"),
    ]
