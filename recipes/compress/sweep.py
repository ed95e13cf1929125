"""lambda and the clip coefficient of weight penalty clipping, which the dissertation does not state.

    python recipes/compress/sweep.py --shared DIR --state DIR [--quick] [--seeds N]

ResNet-20 on CIFAR-10, groups of 16 x 3 x 3, from its weights (`trials`): every pair of ``LAMBDAS`` and ``CLIPS``.
Chosen: of the pairs that empty at least 24 % of the groups (21x by Eq. 2.8), in the mean over the seeds, the one most
accurate on the validation part; where none does, the one that empties most.  The other recipes take it from the result.

lambda belongs to the length of the training: what it can move a group's norm by is about lambda times the sum of all
rates over (1 - momentum), so a training twice as long reaches the same with half of it.  a sets how many groups are
pulled at all: with 1.0 half of them are, at 0.9 a quarter.

Expected (lab's sibling code, 200 epochs): a about 0.5 to 0.7, lambda 1e-3 to 2e-3.  Here the pretrained norms of a
layer lie closer together, so smaller a are not tried.
Time: estimated, 9 runs, about 27 minutes each on one core: 4 core-hours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from trials import NUMBERS, arm, asked, budget, done, write

LAMBDAS, CLIPS = (5e-3, 1e-2, 2e-2), (0.9, 0.95, 1.0)
EMPTY = 24.0  # percent of the groups: 16 / 0.76 is 21


def choose(table: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row to take."""
    enough = [row for row in table if row["group_sparsity_mean"] >= EMPTY]
    if enough:
        return max(enough, key=lambda row: row["val_mean"])
    return max(table, key=lambda row: row["group_sparsity_mean"])


def main() -> None:
    arguments = asked(__doc__, seeds=1)
    size, quick = budget(arguments.quick), arguments.quick
    pairs = [(lam, clip) for lam in LAMBDAS for clip in CLIPS][-2 if quick else None :]
    names = {f"lambda {lam:g}, a {clip:g}": {"lam": lam, "clip": clip} for lam, clip in pairs}
    runs = [
        run for name, own in names.items() for run in arm("resnet20", name, arguments.seeds, size, arm="wpc", **own)
    ]
    table = done(runs, arguments, [name for name in NUMBERS if name != "test"])
    best = choose(table)
    write(__file__, arguments, {"budget": asdict(size), "rows": table, "chosen": names[best["arm"]]})


if __name__ == "__main__":
    main()
