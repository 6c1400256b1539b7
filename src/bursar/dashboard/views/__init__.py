"""How the board is shown: as JSON and a stream of events, as pages, and in the terminal."""
