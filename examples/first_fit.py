"""From a folder of photos to an adapter and back, in Python.

    python examples/first_fit.py PHOTOS OUT

PHOTOS holds one folder for each class.  Uses Pocket, the small backbone that ships with Edgewise;
the settings are for a quick look, not for the best result.
"""

import sys
from pathlib import Path

import edgewise as ew

photos, out = map(Path, sys.argv[1:])
classes = sorted(folder.name for folder in (photos / "train").iterdir())

net = ew.load("pocket")
model = ew.adapt(net, ew.RepNet(), classes=classes)
print(ew.cost(model, batch=(8, 3, 32, 32)))

run = ew.fit(model, photos, out=out, epochs=3)
metrics = run.record["metrics"]
print(f"right on {metrics['accuracy']:.1%} of {metrics['n']} {metrics['split']} photos")

photo = next((photos / "train" / classes[0]).iterdir())
print(ew.open(out).predict(photo))
