"""A stand-in Stripe: what its API answers, kept in memory, checked against Stripe's own documents."""
