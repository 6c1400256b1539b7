"""One report, shown: on the terminal, as JSON, as CSV and as a page of HTML."""
