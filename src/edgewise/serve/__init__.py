"""A frozen model as an endpoint: answers, no weights."""
