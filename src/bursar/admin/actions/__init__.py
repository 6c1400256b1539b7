"""
Decisions: a form that says what will happen, then one call of the function that the API calls too.

Who decides is the principal of the context; whether they may, `@require_auth` says. A refusal is
shown on the form, and nothing was changed.
"""
