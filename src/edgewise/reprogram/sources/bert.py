"""The layers of BERT (Devlin et al., NAACL 2019), made of torch's own, from vectors to vectors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

EPSILON = 1e-12
RENAMED = {
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}
"""Parts of a layer: theirs in the files of Hugging Face, and torch's."""


class Bert(nn.Module):
    """``layers`` layers of ``size`` numbers and ``heads`` heads, over at most ``positions`` places; not trained yet."""

    def __init__(self, symbols: int, size: int, layers: int, heads: int, inner: int, positions: int) -> None:
        super().__init__()
        self.words = nn.Embedding(symbols, size)
        self.positions = nn.Embedding(positions, size)
        self.kinds = nn.Embedding(2, size)
        self.norm = nn.LayerNorm(size, eps=EPSILON)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(size, heads, inner, 0.0, "gelu", EPSILON, batch_first=True)
            for _ in range(layers)
        )
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=0.02)

    def forward(self, vectors: Tensor, there: Tensor) -> Tensor:
        """Vectors (N, L, d) of words to those of the last layer; only places that are ``there`` (N, L) are seen.

        Positions are counted over these places, and all are of the first kind (one sentence, not a pair).
        """
        places = (there.cumsum(1) - 1).clamp_min(0)
        found: Tensor = self.norm(vectors + self.positions(places) + self.kinds.weight[0])
        for layer in self.layers:
            found = layer(found, src_key_padding_mask=~there)
        return found


def of_hugging_face(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a `Bert` from the names and parts of Hugging Face's ``BertModel``, whose pooling is left out."""
    found = {
        name: weights[f"embeddings.{theirs}"]
        for name, theirs in (
            ("words.weight", "word_embeddings.weight"),
            ("positions.weight", "position_embeddings.weight"),
            ("kinds.weight", "token_type_embeddings.weight"),
            ("norm.weight", "LayerNorm.weight"),
            ("norm.bias", "LayerNorm.bias"),
        )
    }
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    for layer in layers:
        for kind in ("weight", "bias"):
            theirs = f"encoder.layer.{layer}."
            three = [weights[f"{theirs}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            found[f"layers.{layer}.self_attn.in_proj_{kind}"] = torch.cat(three)
            for part, ours in RENAMED.items():
                found[f"layers.{layer}.{ours}.{kind}"] = weights[f"{theirs}{part}.{kind}"]
    return found
