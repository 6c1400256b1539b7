"""Payments: attempts at providers, the facts they report, and the state computed from them."""
