"""What the dashboard watches: provider accounts, APIs that somebody declared, certificates."""
