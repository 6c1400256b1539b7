"""The peers' shop: a minimal Django project, as one is written without Bursar."""
