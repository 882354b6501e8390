"""Chest CT phantoms with breasts and lesions of known truth."""
