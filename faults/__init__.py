"""Faults made on purpose, and one checker that says what became of every delivery."""
