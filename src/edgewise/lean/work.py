"""The arithmetic of planned steps, by declaration: what every convolution and linear layer multiplies.

A convolution multiplies as often forward as in each of its two gradients (of the input, of the weight).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from edgewise.lean.planning import RunStep, Step
from edgewise.ops import Conv, FrozenConv, Linear, Op, Program


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one image: forward, backward, and forward again where values were not kept.

    ``calls`` counts the ops executed for a whole batch, those of every chunk.
    """

    forward: int = 0
    backward: int = 0
    again: int = 0
    calls: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.forward + other.forward,
            self.backward + other.backward,
            self.again + other.again,
            self.calls + other.calls,
        )


def work_of(steps: Iterable[Step], images: int) -> Work:
    """The arithmetic of steps that a batch of ``images`` has been through; what is not covered is left out."""
    return sum((_run_work(step, images) for step in steps if isinstance(step, RunStep)), Work())


def _run_work(step: RunStep, images: int) -> Work:
    plan = step.plan
    pieces = sum(1 for _ in plan.chunks(images))
    total = Work()
    for parts in plan.schedules.values():
        forward = [move for part in parts for move in part.forward]
        again = [move for part in parts for move in part.again]
        backs = [back for part in parts for back in part.backward]
        total += Work(
            sum(_multiplies(plan.program, m.op, m.operands, m.result) for m in forward),
            sum(_multiplies(plan.program, b.op, b.operands, b.result) * sum(b.needs[:2]) for b in backs),
            sum(_multiplies(plan.program, m.op, m.operands, m.result) for m in again),
            pieces * (len(forward) + len(again) + len(backs)),
        )
    return total


def _multiplies(program: Program, op: Op, operands: tuple[int, ...], result: int) -> int:
    """Of one image: every element of the result is a sum over one filter."""
    if not isinstance(op, (Conv, FrozenConv, Linear)):
        return 0
    return program.elements(result) * math.prod(program.shapes[operands[1]][1:])
