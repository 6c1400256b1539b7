"""
What the stand-in does: Stripe's rules for intents, refunds, disputes, fees, exchange and payouts.

It keeps everything in memory, commits before it answers, and is asked by one thread. Amounts are
Stripe's units. Its clock only goes where it is put.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from bursar.providers.stripe import currencies
from tests.stripe import shapes
from tests.stripe.shapes import Json

#: What a payment method does: the code and decline code of its refusal.
DECLINED = {
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedLostCard": "lost_card",
}
ACTION = "pm_card_authenticationRequired"
SLOW_BANK = "pm_usBankAccount"
DISPUTED = "pm_card_createDispute"
OPEN = {"requires_payment_method", "requires_action", "requires_capture", "requires_confirmation"}


class Refused(Exception):
    """An answer that is no object."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


def invalid(code: str, status: int = 400, **told: Any) -> Refused:
    return Refused(status, shapes.error("invalid_request_error", code, **told))


@dataclass(slots=True)
class StripeSimulator:
    """One merchant's account. Fees are *basis_points* and *fixed* units of the balance."""

    basis_points: int = 150
    fixed: int = 25
    dispute_fee: int = 1_500
    settlement: str = ""
    rates: dict[str, str] = field(default_factory=dict)
    now: int = 1_790_000_000
    objects: dict[str, Json] = field(default_factory=dict)
    moves: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    answers: dict[str, tuple[str, int, Json]] = field(default_factory=dict)
    paid_out: dict[str, str] = field(default_factory=dict)  # movement -> payout
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # --- keys -------------------------------------------------------------------------------------

    def once(self, key: str, asked: str, carry_out: Callable[[], Json]) -> tuple[int, Json]:
        """Carry out once per key; another request under the same key is refused."""
        if key and key in self.answers:
            known, status, body = self.answers[key]
            if known != asked:
                raise Refused(400, shapes.error("idempotency_error", "idempotency_key_in_use"))
            return status, body
        try:
            status, body = 200, copy.deepcopy(carry_out())
        except Refused as refusal:
            status, body = refusal.status, copy.deepcopy(refusal.body)
        if key:
            self.answers[key] = asked, status, body
        return status, body

    # --- intents ----------------------------------------------------------------------------------

    def create_intent(self, form: Json) -> Json:
        amount, currency = int(form["amount"]), form["currency"]
        if amount < 1:
            raise invalid("parameter_invalid_integer", param="amount")
        made = self._new(
            "pi",
            shapes.intent,
            amount=amount,
            currency=currency,
            capture_method=form.get("capture_method", "automatic"),
            status="requires_payment_method",
            metadata=dict(form.get("metadata", {})),
            payment_method_options=form.get("payment_method_options", {}),
        )
        if form.get("confirm") == "true":
            self._confirm(made, form.get("payment_method", ""))
        return made

    def _confirm(self, made: Json, method: str) -> None:
        made["payment_method"] = method
        if not method.startswith("pm_"):
            raise invalid("resource_missing", param="payment_method")
        if decline := DECLINED.get(method):
            made["last_payment_error"] = {
                "type": "card_error",
                "code": "card_declined",
                "decline_code": decline,
                "message": "Your card was declined.",
            }
            self.tell("payment_intent.payment_failed", made)
            problem = made["last_payment_error"]
            raise Refused(402, {"error": {**problem, "payment_intent": made}})
        if method == ACTION:
            made["status"] = "requires_action"
            url = f"https://hooks.stripe.example/3ds/{made['id']}"
            made["next_action"] = {"type": "redirect_to_url", "redirect_to_url": {"url": url}}
            self.tell("payment_intent.requires_action", made)
        elif method == SLOW_BANK:
            made["status"] = "processing"
            self.tell("payment_intent.processing", made)
        else:
            self.approve(made)

    def approve(self, made: Json) -> None:
        """The bank says yes."""
        multi = made.get("payment_method_options", {}).get("card", {}).get("request_multicapture")
        charge = self._new(
            "ch",
            shapes.charge,
            amount=made["amount"],
            currency=made["currency"],
            payment_intent=made["id"],
            metadata=made["metadata"],
            status="succeeded",
            x_multicapture=bool(multi),
        )
        made.update(latest_charge=charge["id"], next_action=None)
        if made["capture_method"] == "manual":
            made.update(status="requires_capture", amount_capturable=made["amount"])
            self.tell("payment_intent.amount_capturable_updated", made)
        else:
            self._collect(made, charge, made["amount"], final=True)
        if made["payment_method"] == DISPUTED:
            self.dispute(charge["id"])

    def capture(self, id_: str, form: Json) -> Json:
        made = self.get(id_, "payment_intent")
        if made["status"] != "requires_capture":
            raise invalid("payment_intent_unexpected_state", payment_intent=made)
        part = int(form.get("amount_to_capture") or made["amount_capturable"])
        if not 0 < part <= made["amount_capturable"]:
            raise invalid("amount_too_large", param="amount_to_capture")
        charge = self.objects[made["latest_charge"]]
        final = form.get("final_capture", "true") == "true"
        if not final and not charge["x_multicapture"]:
            raise invalid("parameter_invalid", param="final_capture")
        self._collect(made, charge, part, final=final)
        return made

    def _collect(self, made: Json, charge: Json, part: int, *, final: bool) -> None:
        several = charge["x_multicapture"] and made["capture_method"] == "manual"
        moved = self._move("charge", "charge", charge["id"], made["currency"], part)
        charge["balance_transaction"] = None if several else moved["id"]
        charge["amount_captured"] += part
        made["amount_received"] += part
        rest = made["amount"] - made["amount_received"]
        over = final or rest == 0
        charge["captured"] = True
        made["amount_capturable"] = 0 if over else rest
        made["status"] = "succeeded" if over else "requires_capture"
        if over:
            self.tell("payment_intent.succeeded", made)
        else:
            self.tell("payment_intent.amount_capturable_updated", made)
        self.tell("charge.updated", charge)

    def cancel(self, id_: str, reason: str | None = None) -> Json:
        made = self.get(id_, "payment_intent")
        if made["status"] not in OPEN:
            raise invalid("payment_intent_unexpected_state", payment_intent=made)
        if made["amount_received"]:
            made.update(status="succeeded", amount_capturable=0)
            self.tell("payment_intent.succeeded", made)
        else:
            made.update(
                status="canceled",
                amount_capturable=0,
                canceled_at=self.now,
                cancellation_reason=reason,
            )
            self.tell("payment_intent.canceled", made)
        return made

    def act(self, id_: str, *, approve: bool) -> Json:
        """The buyer or the bank decides an intent that waits for them."""
        made = self.objects[id_]
        if approve:
            self.approve(made)
        else:
            made.update(
                status="requires_payment_method",
                next_action=None,
                last_payment_error={
                    "type": "card_error",
                    "code": "payment_intent_authentication_failure",
                    "message": "refused",
                },
            )
            self.tell("payment_intent.payment_failed", made)
        return made

    # --- pages ------------------------------------------------------------------------------------

    def create_session(self, form: Json) -> Json:
        [item] = form["line_items"].values()
        price = item["price_data"]
        made = self._new(
            "cs",
            shapes.session,
            amount_total=int(price["unit_amount"]),
            currency=price["currency"],
            metadata=dict(form.get("metadata", {})),
            success_url=form.get("success_url", ""),
            client_reference_id=form.get("client_reference_id"),
            x_intent=form["payment_intent_data"],
        )
        made["url"] = f"https://checkout.stripe.example/{made['id']}"
        return made

    def pay_page(self, id_: str, method: str) -> Json:
        """A buyer enters *method* on a page."""
        made = self.objects[id_]
        told = made["x_intent"]
        intent = self.objects.get(made["payment_intent"] or "") or self._new(
            "pi",
            shapes.intent,
            amount=made["amount_total"],
            currency=made["currency"],
            capture_method=told["capture_method"],
            status="requires_payment_method",
            metadata=dict(told["metadata"]),
        )
        made["payment_intent"] = intent["id"]
        try:
            self._confirm(intent, method)
        except Refused:
            return intent
        made.update(status="complete", payment_status="paid", url=None)
        return intent

    def expire_page(self, id_: str) -> Json:
        """Nobody paid in time."""
        made = self.objects[id_]
        made.update(status="expired", url=None)
        self.tell("checkout.session.expired", made)
        return made

    # --- refunds and disputes ---------------------------------------------------------------------

    def create_refund(self, form: Json) -> Json:
        charge = self._charge_of(form)
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = int(form.get("amount", left))
        if charge["disputed"]:
            raise invalid("charge_disputed")
        if left == 0:
            raise invalid("charge_already_refunded")
        if not 0 < amount <= left:
            raise invalid("amount_too_large", param="amount")
        made = self._new(
            "re",
            shapes.refund,
            amount=amount,
            currency=charge["currency"],
            charge=charge["id"],
            payment_intent=charge["payment_intent"],
            status="succeeded",
            metadata=dict(form.get("metadata", {})),
        )
        moved = self._move("refund", "refund", made["id"], charge["currency"], -amount, fee=0)
        made["balance_transaction"] = moved["id"]
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
        self.tell("refund.created", made)
        self.tell("charge.refunded", charge)
        return made

    def fail_refund(self, id_: str) -> Json:
        """The buyer's bank sends it back."""
        made = self.objects[id_]
        made.update(status="failed", failure_reason="expired_or_canceled_card")
        moved = self._move(
            "refund_failure", "refund_failure", id_, made["currency"], made["amount"], fee=0
        )
        made["failure_balance_transaction"] = moved["id"]
        self.objects[made["charge"]]["amount_refunded"] -= made["amount"]
        self.tell("refund.failed", made)
        return made

    def _charge_of(self, form: Json) -> Json:
        if "charge" in form:
            return self.get(form["charge"], "charge")
        intent = self.get(form["payment_intent"], "payment_intent")
        if not intent["amount_received"]:
            raise invalid("resource_missing", param="payment_intent")
        return self.objects[intent["latest_charge"]]

    def dispute(self, charge_id: str) -> Json:
        """A buyer disputes what was captured and not given back."""
        charge = self.objects[charge_id]
        claimed = charge["amount_captured"] - charge["amount_refunded"]
        made = self._new(
            "dp",
            shapes.dispute,
            amount=claimed,
            currency=charge["currency"],
            charge=charge_id,
            payment_intent=charge["payment_intent"],
            status="needs_response",
        )
        charge["disputed"] = True
        moved = self._move(
            "adjustment", "dispute", made["id"], charge["currency"], -claimed, fee=self.dispute_fee
        )
        made["balance_transactions"].append(moved)
        self.tell("charge.dispute.created", made)
        return made

    def answer_dispute(self, id_: str, form: Json) -> Json:
        made = self.get(id_, "dispute")
        made["evidence"].update(form.get("evidence", {}))
        made["evidence_details"]["has_evidence"] = True
        if form.get("submit") == "true":
            made["evidence_details"]["submission_count"] += 1
            made["status"] = "under_review"
        self.tell("charge.dispute.updated", made)
        return made

    def close_dispute(self, id_: str, *, won: bool) -> Json:
        made = self.objects[id_]
        made["status"] = "won" if won else "lost"
        if won:
            moved = self._move(
                "adjustment", "dispute_reversal", id_, made["currency"], made["amount"], fee=0
            )
            made["balance_transactions"].append(moved)
        self.tell("charge.dispute.closed", made)
        return made

    # --- the balance ------------------------------------------------------------------------------

    def balance(self) -> Json:
        sums: Counter[str] = Counter()
        for one in self.moves:
            sums[one["currency"]] += one["net"]
        available = [
            {"amount": amount, "currency": currency, "source_types": {"card": amount}}
            for currency, amount in sorted(sums.items())
        ]
        return {
            "object": "balance",
            "available": available,
            "livemode": False,
            "pending": [{"amount": 0, "currency": "eur", "source_types": {}}],
        }

    def pay_out(self) -> list[Json]:
        """Pay every positive balance out, and say which movements each payout holds."""
        made = []
        for part in self.balance()["available"]:
            amount, currency = part["amount"], part["currency"]
            if amount > 0:
                payout = self._new(
                    "po", shapes.payout, amount=amount, currency=currency, status="in_transit"
                )
                for one in self.moves:
                    if one["currency"] == currency:
                        self.paid_out.setdefault(one["id"], payout["id"])
                moved = self._balance_move("payout", "payout", payout["id"], currency, -amount, 0)
                payout["balance_transaction"] = moved["id"]
                self.paid_out[moved["id"]] = payout["id"]
                self.tell("payout.created", payout)
                payout["status"] = "paid"
                self.tell("payout.paid", payout)
                made.append(payout)
        return made

    def _move(
        self,
        kind: str,
        category: str,
        source: str,
        currency: str,
        amount: int,
        *,
        fee: int | None = None,
    ) -> Json:
        """Move *amount* of what the buyer pays in, in the balance's own currency."""
        rate = self.rates.get(currency) if currency != self.settlement else None
        settled = amount
        if rate is not None:
            exact = Decimal(amount) * Decimal(rate)
            settled = int(exact.to_integral_value(ROUND_HALF_EVEN))
        into = self.settlement if rate is not None else currency
        if fee is None:
            step = currencies.MULTIPLES.get(into.upper(), 1)
            fee = (settled * self.basis_points + 5_000) // 10_000 + self.fixed
            fee -= fee % step
        return self._balance_move(kind, category, source, into, settled, fee, rate=rate)

    def _balance_move(
        self,
        kind: str,
        category: str,
        source: str,
        currency: str,
        amount: int,
        fee: int,
        *,
        rate: str | None = None,
    ) -> Json:
        moved = self._new(
            "txn",
            shapes.move,
            type=kind,
            reporting_category=category,
            source=source,
            currency=currency,
            amount=amount,
            fee=fee,
            exchange_rate=None if rate is None else float(rate),
        )
        self.moves.append(moved)
        return moved

    # --- reading ----------------------------------------------------------------------------------

    def get(self, id_: str, kind: str) -> Json:
        made = self.objects.get(id_)
        if made is None or made["object"] != kind:
            raise invalid("resource_missing", 404, param="id")
        return made

    def listed(self, kind: str) -> list[Json]:
        """All objects of a kind, newest first."""
        return [one for one in reversed(self.objects.values()) if one["object"] == kind]

    def shown(self, made: Json, expand: list[str]) -> Json:
        """*made* as it is answered, with what was asked to be expanded."""
        told = {k: v for k, v in copy.deepcopy(made).items() if not k.startswith("x_")}
        for path in expand:
            name, _, rest = path.partition(".")
            inner = told.get(name)
            if isinstance(inner, str) and inner in self.objects:
                told[name] = self.shown(self.objects[inner], [rest] if rest else [])
            elif isinstance(inner, dict) and rest and "object" in inner:
                told[name] = self.shown(self.objects[inner["id"]], [rest])
        return told

    def tell(self, kind: str, made: Json) -> None:
        """Write the event that tells of an object as it is now."""
        told = self.shown(made, [])
        self.events.append(
            shapes.event(
                id=f"evt_{next(self.numbers):08d}",
                type=kind,
                created=self.now,
                data={"object": told},
            )
        )

    def _new(self, prefix: str, shape: Callable[..., Json], **told: Any) -> Json:
        made = shape(id=f"{prefix}_{next(self.numbers):08d}", created=self.now, **told)
        self.objects[made["id"]] = made
        return made


def asked_of(path: str, form: Json) -> str:
    """What names a request under its key."""
    return json.dumps([path, form], sort_keys=True)
