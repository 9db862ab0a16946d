"""What a cleanup of a dataset does: plans, archives, deletes."""
