"""Durable job queue in the application's database: a job commits with the change that enqueues it."""
