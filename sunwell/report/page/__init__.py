"""The page of a run: one HTML file, and the data that it shows."""
