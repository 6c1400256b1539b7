"""Payment providers behind one interface; they know nothing of the database."""
