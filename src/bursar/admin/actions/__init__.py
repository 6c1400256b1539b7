"""
Actions: a confirmation form, then one call of the function that the API calls as well.

The signed-in user is the principal; `@require_auth` checks the scope. An error is shown on the form,
and nothing is changed.
"""
