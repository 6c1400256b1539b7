"""Payment providers behind one interface, independent of the database."""
