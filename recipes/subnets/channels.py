"""Sub-nets of fewer channels: the widths of each layer chosen by sensitivity, trained in one network, and sliced.

    python recipes/subnets/channels.py --shared DIR --state DIR [--quick] [--seeds N]

ResNet-20 on CIFAR-10 (`sparse`): trained dense as in ``table10.py``; channels ranked on training photos; then four
sub-nets, of 100, 75, 50 and 35 % of the multiply-adds, trained on from the dense weights for as many epochs again, in
turns with gradient correction, jointly, and each by itself.  Only the insides of blocks are free in a network with the
shortcut of option A.  Every sub-net is sliced, scored as the small plain network that it then is, and timed: one photo
on one thread.

Claimed here: sub-nets in turns are within one standard error of joint ones, at a quarter of the cost; time falls with
every sub-net.  (That it falls as multiply-adds do is tried on MobileNetV2 at 224 px, in
``benchmarks/subnets_engines.py``; a network this small spends its time on calls.)
Time: estimated, 3 dense runs of 7 minutes and 18 of 7 (joint: 28) minutes on one core: 3.5 core-hours.
"""

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from sparse import NETWORK, Numbers, Run, asked, at_least, budget, by_arm, claim, done, table, table_of, write
from torch import Tensor

from edgewise.backbones import load
from edgewise.core.progress import Silent
from edgewise.data import open_data
from edgewise.data.loader import batches, epoch_order
from edgewise.data.transforms import Augment
from edgewise.jobs.subnets import SubNetSettings, SubNetsRequest, subnets
from edgewise.jobs.subnets_opening import open_subnets
from edgewise.layers.normalise import Normalise
from edgewise.subnets import SubNets, SubNetTask
from edgewise.subnets.alternating import Alternating
from edgewise.subnets.channel_spaces import layout_of
from edgewise.subnets.channels import Narrow, nested_channels, sensitivities
from edgewise.subnets.engines import prepared, took
from edgewise.subnets.growth import Fixed
from edgewise.subnets.joint import Joint
from edgewise.subnets.slicing import check_same, sliced
from edgewise.train.classify import ClassifyTask, TrainSettings, predict
from edgewise.train.loop import run

SHARES, STEP, RANKED = (1.0, 0.75, 0.5, 0.35), 4, 4  # of the multiply-adds; channels; batches that rank them
BATCH, RATE, DECAY = 128, 0.05, 5e-4
ROUNDS = 30


def narrowed(
    shared: Path, state: Path, seed: int, images: int, epochs: int, training: str, shares: list[float]
) -> Numbers:
    """Dense training, ranking, and the training of sub-nets of ``shares``; accuracies and times of the slices."""
    data = table(shared, state, images)
    plain = _trained(state, seed, images, epochs)
    photos, backbone = open_data(data, 0.1, seed), load(plain, image_size=32)
    size, normalise = backbone.input.size, Normalise(backbone.input)
    layout = layout_of(plain, size)
    order = epoch_order(photos.train, seed, 0)[: RANKED * BATCH]
    ranking = batches(photos.train, order, BATCH, backbone.input, None, seed, 0, 0)
    scores = sensitivities(plain, layout, (F.cross_entropy(plain(normalise(x)), labels) for x, labels in ranking))
    chosen = nested_channels(layout, scores, shares, STEP)
    net = SubNets(backbone, [Narrow(share, layout, own) for share, own in zip(shares, chosen, strict=True)])
    steps = epochs * -(-len(photos.train) // BATCH)
    fixed = Fixed()
    fixed.start(net, seed)
    kind = {"joint": Joint, "alternating": Alternating}[training]
    trainer = kind(net, fixed, steps, decay=DECAY)
    settings = TrainSettings(epochs=epochs, batch_size=BATCH, seed=seed, precision="bfloat16")
    passes = ClassifyTask(
        net, {}, {"main": RATE}, net.changing(), photos.train, photos.val, backbone.input,
        Augment(0.5, True, pad=4), settings, {"channels": training}, trainer,
    )  # fmt: skip
    out = state / "subnets" / f"channels-{training}-{images}x{epochs}-{'-'.join(map(str, shares))}-{seed}"
    task = SubNetTask(net, trainer, passes)
    run(task, epochs, out, Silent(), out.exists(), measures=task.measures, last=True)
    found: dict[str, Any] = {"macs": float(task.work[0]), "macs_without_zeros": float(task.work[1])}
    labels = torch.tensor([sample.label for sample in photos.test])
    small = {}
    for name, channels in zip(net.names, chosen, strict=True):
        small[name] = sliced(net.plain(name), layout, channels)
        check_same(small[name], net.plain(name), size)
        answers = predict(torch.nn.Sequential(net.normalise, small[name]), photos.test, backbone.input)
        found[f"test {name}"] = 100 * float((answers.argmax(1) == labels).double().mean())
        found[f"left {name}"] = layout.macs({space: len(kept) for space, kept in channels.items()}) / layout.macs()
        found[f"widths {name}"] = {space: len(kept) for space, kept in channels.items()}
    return {**found, **_times(small, torch.randn(1, 3, size, size))}


def dense(shared: Path, state: Path, seed: int, images: int, epochs: int) -> Numbers:
    """The dense network that the others start from."""
    own = {"epochs": epochs, "precision": "bfloat16", "workers": 0, "seed": seed}
    chosen, out = SubNetSettings(training="dense", densities=(1.0,)), _folder(state, seed, images, epochs)
    request = SubNetsRequest(str(table(shared, state, images)), NETWORK, weights="none", subnets=chosen, **own)
    return {"test 0%": 100 * subnets(request, out, resume=out.exists())["subnets"]["accuracy"]["0%"]}


def _folder(state: Path, seed: int, images: int, epochs: int) -> Path:
    return state / "subnets" / f"dense-for-channels-{images}x{epochs}-{seed}"


def _trained(state: Path, seed: int, images: int, epochs: int) -> torch.nn.Module:
    model = open_subnets(_folder(state, seed, images, epochs)).model
    assert isinstance(model, SubNets)
    return model.plain(0)


def _times(small: dict[str, torch.nn.Module], photo: Tensor) -> dict[str, float]:
    """Milliseconds of each, in turns, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    fast = {name: prepared(network, photo)[0] for name, network in small.items()}
    ms = took(*(lambda network=network: network(photo) for network in fast.values()), rounds=ROUNDS)
    torch.set_num_threads(before)
    return {f"ms {name}": one for name, one in zip(fast, ms, strict=True)}


def claims(found, runs):
    costs = {row["arm"]: row["macs_without_zeros_mean"] for row in found}
    places = [
        {"seed": one["seed"], "ms": times, "holds": all(more > less for more, less in pairwise(times))}
        for one in by_arm(runs, "in turns")
        for times in [[value for key, value in one.items() if key.startswith("ms ")]]
    ]
    ratio = costs["in turns"] / costs["jointly"] if {"in turns", "jointly"} <= costs.keys() else None
    return [
        at_least(found, "in turns", "jointly", "in turns at least jointly"),
        claim("in turns costs a quarter", [] if ratio is None else [{"ratio": ratio, "holds": ratio <= 0.26}]),
        claim("time falls with every sub-net", places),
    ]


def main() -> None:
    arguments = asked(__doc__)
    size = budget(arguments.quick)
    arms = {"in turns": ("alternating", SHARES), "jointly": ("joint", SHARES)}
    arms |= {} if arguments.quick else {f"alone {share:g}": ("alternating", (share,)) for share in SHARES}
    runs = [
        Run(narrowed, NETWORK, name, seed, {**asdict(size), "training": training, "shares": list(shares)})
        for name, (training, shares) in arms.items()
        for seed in range(arguments.seeds)
    ]
    done([Run(dense, NETWORK, "dense", seed, asdict(size)) for seed in range(arguments.seeds)], arguments)
    found = done(runs, arguments)
    rows = table_of(found)
    kept = [{key: value for key, value in one.items() if not key.startswith(("test ", "val "))} for one in found]
    write(__file__, arguments, {"budget": asdict(size), "rows": rows, "runs": kept, "claims": claims(rows, found)})


if __name__ == "__main__":
    main()
