"""A photo network that reads handwritten digits, and is not changed by it.

    python examples/reprogram_digits.py [OUT.png]

Pocket, the small network that ships with Edgewise, tells ten things of CIFAR-10 apart.  A frame of trained pixels
around each digit, and a rule which of its answers mean which digit, make it tell digits 0 to 4 apart.  The same is
done once more as if it stood behind an API: by asking, with a budget.  Needs scikit-learn for its digits.
"""

import sys

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

import edgewise as ew
from edgewise.reprogram import BlackBox, FrequencyMap, Gradient, Ledger, Pad, Reprogrammed, SphereSearch, of_backbone

table = load_digits(n_class=5)
rows = np.random.default_rng(0).permutation(len(table.target))
images, digits = table.images[rows, None] / 16, table.target[rows]
train, test = slice(0, 400), slice(400, 600)

source = of_backbone(ew.load("pocket"))
as_it_is = Reprogrammed(source, Pad(size=24), FrequencyMap(labels=2), epochs=0).fit(images[train], digits[train])
print(f"its answers, read as digits: {as_it_is.score(images[test], digits[test]):.1%} right")

trained = Reprogrammed(source, Pad(size=24), FrequencyMap(labels=2), Gradient(lr=0.2), epochs=6)
trained.fit(images[train], digits[train])
print(f"with a trained frame: {trained.score(images[test], digits[test]):.1%} right; the network is as it was")


@torch.no_grad()
def behind_an_api(samples: np.ndarray) -> np.ndarray:
    """What a paid service would answer."""
    return source(torch.from_numpy(samples) / 255).softmax(1).numpy()


ledger = Ledger(budget=2_000, price=0.001)
asked = BlackBox(behind_an_api, source.takes, source.classes, "probs", ledger)
blind = Reprogrammed(asked, Pad(size=16, grid=4), FrequencyMap(labels=2), SphereSearch(directions=4, lr=0.2), epochs=2)
blind.fit(images[:100], digits[:100])
right = blind.score(images[test], digits[test])
print(f"by asking alone, a little: {right:.1%} right, for {ledger.spent:,} queries and {ledger.cost:.2f} dollars")

if sys.argv[1:]:  # the program alone, and four digits as the network gets them
    program = trained.work_.program
    with torch.no_grad():
        shown = torch.cat([program.canvas()[None], program(torch.from_numpy(images[test][:4]).float())])
    pixels = (shown * 255).round().to(torch.uint8).permute(2, 0, 3, 1).flatten(1, 2).numpy()
    picture = Image.fromarray(pixels)
    picture.resize((picture.width * 5, picture.height * 5), Image.Resampling.NEAREST).save(sys.argv[1])
