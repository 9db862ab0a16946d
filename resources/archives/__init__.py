"""Rows that leave the source, and come back: read raw, kept for good, deleted, put in again."""
