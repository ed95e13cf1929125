"""Modules that more than one technique uses."""
