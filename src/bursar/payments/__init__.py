"""Payments: attempts at providers, the facts they tell, and the state computed from them."""
