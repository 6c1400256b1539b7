"""Dashboard: monitors of APIs, certificates and provider accounts, with history and alerts."""
