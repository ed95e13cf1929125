"""Reprogramming: a frozen model serves another task by what goes in and how its answers are read."""
