"""Reports: from the figures of two windows to files that people read."""
