"""What the rows of all datasets together say: figures for analyses and reports."""
