"""A durable job queue in the books' own database: a job is visible when its cause is committed."""
