"""The live dashboard: every API that matters, asked at once and shown as it answers."""
