"""The guide's stories, played: the naive before, the guide's own remedy, and Bursar."""
