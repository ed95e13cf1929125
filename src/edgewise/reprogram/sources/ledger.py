"""What was asked of a source, what it cost, and what it said: so that nothing is paid for twice."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import EdgewiseError, UsageError

Scores = NDArray[np.float32]


class BudgetExceededError(EdgewiseError):
    """The next call would cost more than is left; it was not made."""


class Ledger:
    """Counts queries (one is one sample scored) and remembers the answers, by the sample's key.

    ``path`` is a file (SQLite), so that a run that is killed and resumed pays for nothing again; None
    remembers only while the process lives.  ``budget`` is the most queries in all, earlier runs included, None for
    no limit; ``price`` is that of one query, in whatever money.  ``before`` are the queries that earlier runs made.
    """

    def __init__(self, path: Path | None = None, budget: int | None = None, price: float = 0.0) -> None:
        if (budget is not None and budget < 0) or price < 0:
            raise UsageError(f"The budget is {budget} queries at {price:g} each; neither can be negative.")
        self.budget, self.price, self.hits = budget, price, 0
        self._file = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        try:
            self._file.execute("PRAGMA journal_mode=WAL")  # a payment is on the disk after one write instead of three
            self._file.execute("PRAGMA synchronous=FULL")
            self._file.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, scores BLOB) WITHOUT ROWID")
            self._file.execute("CREATE TABLE IF NOT EXISTS payments (queries INTEGER)")
            self._file.execute("CREATE TABLE IF NOT EXISTS traffic (sent INTEGER, received INTEGER)")
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{path} is not a ledger: {error}.") from None
        self.before = self.spent

    @property
    def spent(self) -> int:
        """Queries paid for so far."""
        return int(self._file.execute("SELECT COALESCE(SUM(queries), 0) FROM payments").fetchone()[0])

    @property
    def cost(self) -> float:
        """What they cost."""
        return self.spent * self.price

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes that were sent and received so far; 0 where nothing crosses a wire."""
        sums = "SELECT COALESCE(SUM(sent), 0), COALESCE(SUM(received), 0) FROM traffic"
        sent, received = self._file.execute(sums).fetchone()
        return int(sent), int(received)

    def known(self, keys: Sequence[bytes]) -> dict[bytes, Scores]:
        """The remembered answers among ``keys``."""
        found: dict[bytes, Scores] = {}
        for key in set(keys):
            row = self._file.execute("SELECT scores FROM answers WHERE key = ?", (key,)).fetchone()
            if row is not None:
                found[key] = np.frombuffer(row[0], dtype=np.float32)
        return found

    def allow(self, queries: int) -> None:
        """Raise `BudgetExceededError` where ``queries`` more would break the budget; none never do."""
        spent = self.spent
        if queries and self.budget is not None and spent + queries > self.budget:
            raise BudgetExceededError(
                f"{queries} queries would follow the {spent} that were made, and the budget is {self.budget}: "
                f"{self.budget - spent} are left."
            )

    def paid(self, queries: int, answers: Mapping[bytes, Scores]) -> None:
        """Note ``queries`` and remember ``answers``: both or, if the process dies here, neither."""
        with self._file:
            self._file.execute("BEGIN")
            self._file.execute("INSERT INTO payments VALUES (?)", (queries,))
            self._file.executemany(
                "INSERT OR REPLACE INTO answers VALUES (?, ?)",
                ((key, scores.astype(np.float32).tobytes()) for key, scores in answers.items()),
            )

    def crossed(self, sent: int, received: int) -> None:
        """Note bytes that crossed."""
        self._file.execute("INSERT INTO traffic VALUES (?, ?)", (sent, received))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
