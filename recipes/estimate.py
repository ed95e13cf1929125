"""About how long a recipe takes: from the seconds that ``transfer_small`` noted for its jobs."""

from collections.abc import Sequence

from arms import Arm, Costed
from grid import Job, newest

from edgewise.jobs.training_step import StepRequest

LIKE = {"cifar10_500": ("cifar10", 5.0), "mnist": ("cifar10", 0.9), "pneumonia": ("signdigits", 1.6)}  # times as many
SHARES = {  # of Rep-Net's time, for methods that transfer_small has not
    "bn": 1.0, "input": 1.0, "mask": 1.0, "repnet+mask": 1.3, "tinytl": 1.5,
    "blocks": 0.65, "mobiletl": 0.65, "lite": 0.65, "mobiletl+lite": 0.8,
}  # fmt: skip
NETWORKS = {  # times MobileNetV2's at width 0.35
    "mobilenet_v1_w025_imagenet": 0.7, "mcunet_5fps_imagenet": 1.5, "mcu_mobilenet_v2_w035_imagenet": 1.0,
    "mcu_proxyless_w030_imagenet": 1.3, "cifar10_resnet20": 1.0, "cifar10_resnet56": 2.5,
}  # fmt: skip
FIXED = 0.2  # of a job's time does not grow with its epochs: starting, scoring
STEP, LARGE_STEP = 10, 20  # seconds to measure a step in a process of its own; of images of 224 px


def seconds(job: Job) -> float:
    """Of one job, on a machine as busy as it was when ``transfer_small`` ran."""
    data, images = LIKE.get(job.data, (job.data, 1.0))
    rows = [row for row in newest("transfer_small")["rows"] if (row["set"], row["width"]) == (data, job.width or 0.35)]
    own = next((row for row in rows if row["arm"] == job.method), None)
    row = own or next(row for row in rows if row["arm"] == "repnet")
    share = 1.0 if own else SHARES[job.method]
    longer = FIXED + (1 - FIXED) * images * job.epochs / row["epochs"]
    return float(row["seconds"]) * share * longer * NETWORKS.get(job.weights, 1.0)


def listed(arms: Sequence[Arm], seeds: int, costs: Sequence[Costed] = (), rounds: int = 1) -> None:
    """Print every job and every step, and about how many minutes they take, two jobs at a time."""
    total = 0.0
    for arm in arms:
        job, took = arm.job, seeds * seconds(arm.job) / 2
        total += took
        rates = "default rates" if job.lr is None else f"lr {job.lr:g}, {job.side_lr:g}"
        print(f"{job.data:<12} {arm.network:<21} {arm.name:<24}{_settings(job)}: ", end="")
        print(f"{job.epochs} epochs, {rates}, {seeds} seeds, {took / 60:.1f} min")
    for cost in costs:
        way = f"lean {cost.step.lean}, threads {cost.step.threads}"
        print(f"step of {cost.network}, {cost.name}: {_settings(cost.step)}, {way}")
    own = {(arm.network, arm.name) for arm in arms if not arm.job.val_fraction}  # what is validated is not measured
    total += rounds * (2 * STEP * len(own) + LARGE_STEP * len(costs))
    print(
        f"{seeds * len(arms)} jobs, {rounds} x {2 * len(own) + len(costs)} steps: "
        f"about {total / 60:.0f} minutes on two cores"
    )


def _settings(what: Job | StepRequest) -> str:
    given = what.settings if isinstance(what, Job) else what.method_settings
    bits = " 8 bit" if what.frozen_bits == 8 else ""
    return what.method + "".join(f" {name}={value}" for name, value in given.items()) + bits
