"""The lean forward pass of a model, in place of its own."""

import copy
import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node
from torch.fx.node import map_arg

from edgewise.lean.lowered import Results
from edgewise.lean.planning import CallStep, RunStep, StatisticsStep, Steps, plan_steps
from edgewise.lean.settings import Lean
from edgewise.lean.values import Unshapeable, attribute
from edgewise.ops import BatchStatistics, run


class Alone(nn.Module):
    """One layer as a model."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)


class LeanForward:
    """Images to logits, by steps planned for the model's present state.

    The steps are planned anew when the pattern of trainable parameters, the mode of a norm or a
    dropout, or the shape of the batch changes, and when a tensor is put in another's place, as `nn.Module.to`
    does with buffers.  A tensor's numbers may change at any time: nothing made of them outlives a pass.
    """

    def __init__(self, model: nn.Module, graph: Graph, lean: Lean) -> None:
        self.model, self.graph, self.lean = model, graph, lean
        self._plans: dict[Any, Steps] = {}

    @cached_property
    def modules(self) -> tuple[nn.Module, ...]:
        """The model's modules, of which the graph is: walking their tree takes milliseconds at every step."""
        return tuple(self.model.modules())

    def __deepcopy__(self, memo: dict[int, Any]) -> "LeanForward":
        """A copied model gets plans of its own: those made hold the tensors of this one."""
        return LeanForward(copy.deepcopy(self.model, memo), self.graph, self.lean)

    def __call__(self, images: Tensor) -> Tensor:
        try:
            steps = self.steps(images)
        except Unshapeable as reason:
            warnings.warn(f"{reason}. It runs as in stock PyTorch.", stacklevel=2)
            return self._plain(images)
        values: dict[int, Tensor] = {steps.image: images}
        results: Results = {}
        for step, forget in zip(steps.steps, steps.forget, strict=True):
            if isinstance(step, RunStep):
                tensors = [values[key] for key in step.batched] + _shared(step, results)
                values.update(zip(step.outputs, run(step.plan, tensors), strict=True))
                del tensors
            elif isinstance(step, StatisticsStep):
                _refuse_one_value(values[step.source])
                mean, variance = BatchStatistics.apply(values[step.source])  # type: ignore[no-untyped-call]
                results |= {f"{step.name}.mean": mean, f"{step.name}.variance": variance}
                _remember(step.norm, mean, variance, values[step.source])
            else:
                values[step.result] = _call(self.model, step, values, steps.constants)
            for key in forget:
                values.pop(key, None)
        return values[steps.result]

    def _plain(self, images: Tensor) -> Tensor:
        """What the model would compute of itself."""
        owner = self.model.layer if isinstance(self.model, Alone) else self.model
        result: Tensor = type(owner).forward(owner, images)
        return result

    def steps(self, images: Tensor) -> Steps:
        """The plan for a batch of this shape in the model's present state."""
        stores = (store for m in self.modules for store in (m._parameters, m._buffers))
        tensors = [t for store in stores for t in store.values() if t is not None]
        key = (
            tuple(images.shape),
            torch.is_grad_enabled(),
            tuple([id(t) for t in tensors]),
            tuple([t.requires_grad for t in tensors]),
            tuple([m.training for m in self.modules]),
        )
        if key not in self._plans:
            if len(self._plans) > 8:
                self._plans.clear()
            self._plans[key] = plan_steps(self.graph, self.model, images, self.lean.chunk, self.lean.recompute)
        return self._plans[key]


def _shared(step: RunStep, results: Results) -> list[Tensor]:
    """The run's shared operands; what they leave for each other ends with this call."""
    made = results.copy()
    return [operand.make(made) for operand in step.shared]


def _refuse_one_value(x: Tensor) -> None:
    """One value has no variance; in torch's own words, which callers know."""
    if x.numel() == x.shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {tuple(x.shape)}")


@torch.no_grad()
def _remember(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, x: Tensor) -> None:
    """Move the running statistics as `nn.BatchNorm2d` does (its variance there is the unbiased one)."""
    running_mean, running_var, batches = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if not norm.track_running_stats or running_mean is None or running_var is None:
        return
    assert batches is not None
    batches += 1
    count = x.numel() // x.shape[1]
    factor = 1 / float(batches) if norm.momentum is None else norm.momentum
    running_mean.lerp_(mean, factor)
    running_var.lerp_(variance * (count / (count - 1)), factor)


def _call(model: nn.Module, step: CallStep, values: Mapping[int, Tensor], constants: Mapping[Node, Any]) -> Tensor:
    def found(node: Node) -> Any:
        return values[step.keys[node]] if node in step.keys else constants[node]

    node = step.node
    args, kwargs = map_arg(node.args, found), map_arg(node.kwargs, found)
    if node.op == "call_module":
        # not the module itself: its hooks are in the graph already, and its forward may be lean
        module = model.get_submodule(str(node.target))
        result: Tensor = type(module).forward(module, *args, **kwargs)
        return result
    if node.op == "call_method":
        result = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return result
    if node.op == "get_attr":
        result = attribute(model, str(node.target))
        return result
    assert callable(node.target)
    result = node.target(*args, **kwargs)
    return result
