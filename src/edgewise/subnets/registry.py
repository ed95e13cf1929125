"""The trainings by name, and the settings of all of them.

Adding one: a file with its `Trainer` or its `Growth`, and one line in `TRAININGS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgewise.core.errors import UsageError, unknown
from edgewise.core.settings import check, setting
from edgewise.subnets.alternating import Alternating
from edgewise.subnets.base import Pattern, Trainer, name_of
from edgewise.subnets.growth import SOFT, Fixed, Growth, Mutation, PruneAndRegrow
from edgewise.subnets.joint import Joint
from edgewise.subnets.network import Norms, SubNets
from edgewise.subnets.nm import pattern_of
from edgewise.subnets.relations import RELATIONS
from edgewise.subnets.schedule import timing
from edgewise.subnets.sr_ste import SrSte
from edgewise.subnets.unstructured import Unstructured

MUTATIONS = 32  # of MEST in a run: every 5 epochs of 160


@dataclass(frozen=True)
class SubNetSettings:
    """Which sub-nets, and how they are trained; the defaults are the dissertation's for CIFAR.

    ``densities``: shares of the weights, from the largest down; in their place ``patterns`` such as ``2:4``, of which
    the first of every pair is kept.  ``start``: the density at which all of them start,
    1 or such as 0.1 (s_i = 90 %), which then is at least the largest.  ``every`` and ``offset`` count a sub-net's own
    steps; None: 62 updates in the run, and 0.3 of the time between two.  ``only_active``: decay and momentum leave
    weights alone that the sub-net does not have.  ``dense_head``: the head has all weights, as on ImageNet.
    """

    training: str = setting("ast", "how the sub-nets are trained")
    densities: tuple[float, ...] = (0.1, 0.05, 0.02)
    patterns: tuple[str, ...] = ()
    relation: str = setting("nd", "how they lie to each other", choices=tuple(RELATIONS))
    gc: bool = True
    start: float = setting(1.0, "density at the start", low=0, high=1)
    norms: Norms = setting("private", "whose the norms are", choices=("private", "shared"))
    only_active: bool = True
    dense_head: bool = False
    prune_until: float = setting(110 / 160, "share of the run in which sub-nets are pruned", low=0, high=1)
    every: int | None = setting(None, "own steps between two updates of a mask", low=1, high=10**9)
    offset: int | None = setting(None, "own steps by which a sub-net is later than the one before", low=0, high=10**9)
    exchange: float = setting(0.5, "share of weights exchanged as the run begins", low=0, high=1)
    exchange_last: float = setting(0.005, "the same as it ends", low=0, high=1)

    def __post_init__(self) -> None:
        check(self, "subnets")
        if self.training not in TRAININGS:
            raise unknown("training", self.training, TRAININGS)
        if self.patterns:
            self._check_patterns()
        else:
            _check_densities(self.densities, self.start)
            if self.training == "srste":
                raise UsageError("--training srste is for weights in a pattern: give one, such as --patterns 2:4.")
        if len(self.sub_nets) > 1 and not self.kind.several:
            raise UsageError(f"--training {self.training} trains one sub-net at a time; name one.")
        if self.training == "dense" and (self.patterns or self.densities != (1.0,)):
            raise UsageError("--training dense is the network with all weights: give --densities 1.")

    def _check_patterns(self) -> None:
        densities = [one.density for one in map(pattern_of, self.patterns)]
        if any(later >= one for one, later in pairwise(densities)):
            raise UsageError(f"--patterns {','.join(self.patterns)}: name those first that keep more, and each once.")
        wrong = [
            text
            for text, given in (
                ("--relation cs", self.relation == "cs"),
                ("--start", self.start != 1),
                ("--training mest", self.training == "mest"),
            )
            if given
        ]
        if wrong:
            raise UsageError(f"{wrong[0]} is for sub-nets of single weights, and --patterns asks for others.")

    @property
    def sub_nets(self) -> tuple[Pattern, ...]:
        if self.patterns:
            return tuple(map(pattern_of, self.patterns))
        return tuple(Unstructured(density, self.start) for density in self.densities)

    @property
    def kind(self) -> "Training":
        return TRAININGS[self.training]


Maker = Callable[[SubNets, SubNetSettings, int, float, int], Trainer]


@dataclass(frozen=True)
class Training:
    """``make(net, settings, steps, decay, seed)``: a trainer for a run of ``steps`` steps; ``several``: of more than
    one sub-net."""

    title: str
    several: bool
    make: Maker


def trainer(net: SubNets, settings: SubNetSettings, steps: int, decay: float, seed: int) -> Trainer:
    """For ``net`` in a run of ``steps`` steps; raises `UsageError` where that is too short for its updates."""
    return settings.kind.make(net, settings, steps, decay, seed)


def _alternating(net: SubNets, settings: SubNetSettings, steps: int, decay: float, seed: int) -> Trainer:
    growth = _regrowing(settings, steps // len(net.names))
    growth.start(net, seed)
    return Alternating(net, growth, steps, settings.gc, settings.only_active, False, decay)


def _joint(net: SubNets, settings: SubNetSettings, steps: int, decay: float, seed: int) -> Trainer:
    growth = _regrowing(settings, steps)
    growth.start(net, seed)
    return Joint(net, growth, steps, settings.only_active, decay)


def _granet(net: SubNets, settings: SubNetSettings, steps: int, decay: float, seed: int) -> Trainer:
    return _alone(net, _regrowing(settings, steps), settings, steps, decay, seed)


def _mest(net: SubNets, settings: SubNetSettings, steps: int, decay: float, seed: int) -> Trainer:
    every = max(1, round(steps / MUTATIONS)) if settings.every is None else settings.every
    last_part = SOFT[-2][0] * steps
    if not any(number * every >= last_part for number in range(1, (steps - 1) // every + 1)):
        raise UsageError(
            f"The run has {steps} steps and masks change every {every}: none of them comes in the last quarter, where "
            "the sub-net reaches its density. Train longer (--epochs), or lower --every."
        )
    return _alone(net, Mutation(settings.densities[0], every, seed), settings, steps, decay, seed)


def _sr_ste(net: SubNets, settings: SubNetSettings, steps: int, decay: float, seed: int) -> Trainer:
    return SrSte(net, decay)


def _dense(net: SubNets, settings: SubNetSettings, steps: int, decay: float, seed: int) -> Trainer:
    return _alone(net, Fixed(), settings, steps, decay, seed)


def _alone(net: SubNets, growth: Growth, settings: SubNetSettings, steps: int, decay: float, seed: int) -> Alternating:
    growth.start(net, seed)
    return Alternating(net, growth, steps, False, settings.only_active, True, decay)


def _regrowing(settings: SubNetSettings, own: int) -> PruneAndRegrow:
    when = timing(own, len(settings.sub_nets), settings.prune_until, settings.every, settings.offset)
    return PruneAndRegrow(when, RELATIONS[settings.relation], settings.exchange, settings.exchange_last)


TRAININGS: Mapping[str, Training] = {
    "ast": Training("Alternating sparse training", True, _alternating),
    "joint": Training("Joint training", True, _joint),
    "granet": Training("One sub-net, pruned and regrown (GraNet)", False, _granet),
    "mest": Training("One sub-net, mutated (MEST+EM&S)", False, _mest),
    "srste": Training("One sub-net in a pattern (SR-STE)", False, _sr_ste),
    "dense": Training("The dense network", False, _dense),
}


def _check_densities(densities: Sequence[float], start: float) -> None:
    said = ", ".join(f"{density:g}" for density in densities)
    if not densities:
        raise UsageError("--densities names no sub-net; give shares of the weights, such as 0.1,0.05,0.02.")
    outside = [f"{density:g}" for density in densities if not 0 < density <= 1]
    if outside:
        raise UsageError(
            f"--densities {said}: {', '.join(outside)} is no share of the weights; it must be above 0 and at most 1."
        )
    ordered = tuple(sorted(set(densities), reverse=True))
    if tuple(densities) != ordered or len({name_of(density) for density in densities}) < len(densities):
        wanted = ",".join(f"{density:g}" for density in ordered)
        raise UsageError(f"--densities {said}: name each once, from the largest down: {wanted}.")
    if start < densities[0]:
        raise UsageError(
            f"--start {start:g} is less than the largest density, {densities[0]:g}; it must be at least that."
        )
