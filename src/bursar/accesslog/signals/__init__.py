"""What a merchant should look at: who tests cards, guesses passwords or scans, and sudden changes."""
