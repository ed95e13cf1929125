"""The encoder of sentences: what stands where, against the plain network; and the real weights, where they are."""

import importlib.util
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.reprogram import PromptTokens, Reprogrammed, Space, Verbaliser, load_encoder, of_encoder, symbols_of
from edgewise.reprogram.sources.bert import Bert, of_hugging_face
from edgewise.reprogram.sources.text import FIRST, LAST, PACKAGE, SHA256, Encoder
from edgewise.reprogram.table import vectors_of

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None or importlib.util.find_spec("tokenizers") is None,
    reason="edgewise[reprogram-text] is an extra",
)
SIZES = {"symbols": 120, "size": 16, "layers": 2, "heads": 2, "inner": 32, "positions": 20}
SENTENCES = [[5, 9, 7, 30], [11], []]


def small() -> Bert:
    """A network of the same kind with two small layers, not trained, whose numbers are large enough to matter."""
    torch.manual_seed(0)
    network = Bert(**SIZES).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return network


def by_hand(network: Bert, symbols: list[int]) -> Tensor:
    """The last layer (L, d) of one sentence, as the paper's formulas have it."""
    state = network.state_dict()
    norm = network.norm
    x = norm(state["words.weight"][symbols] + state["positions.weight"][: len(symbols)] + state["kinds.weight"][0])
    for layer in network.layers:
        assert isinstance(layer, nn.TransformerEncoderLayer)
        own = layer.self_attn
        query, key, value = (
            (x @ own.in_proj_weight.t() + own.in_proj_bias).view(len(symbols), 3, 2, 8).permute(1, 2, 0, 3)
        )
        mixed = (query @ key.mT / math.sqrt(8)).softmax(2) @ value
        x = layer.norm1(x + own.out_proj(mixed.transpose(0, 1).flatten(1)))
        x = layer.norm2(x + layer.linear2(nn.functional.gelu(layer.linear1(x))))
    return x


def padded(sentences: list[list[int]], length: int) -> Tensor:
    return torch.tensor([[*row, *[0] * (length - len(row))] for row in sentences])


def test_it_is_the_plain_network_around_what_stands_there() -> None:
    """The twin gets [CLS], the symbols and [SEP], one sentence at a time and without padding."""
    network = small()
    encoder = Encoder(network)
    found = encoder(vectors_of(padded(SENTENCES, 6), encoder.table))
    for row, sentence in enumerate(SENTENCES):
        plain = by_hand(network, [FIRST, *sentence, LAST]).mean(0)
        torch.testing.assert_close(found[row], plain, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_it_is_hugging_face_s() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=120,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
    )
    torch.manual_seed(0)
    theirs = transformers.BertModel(config).eval()
    network = Bert(**SIZES).eval()
    network.load_state_dict(of_hugging_face(theirs.state_dict()))
    encoder = Encoder(network)
    found = encoder(vectors_of(padded(SENTENCES, 6), encoder.table))
    for row, sentence in enumerate(SENTENCES):
        plain = theirs(input_ids=torch.tensor([[FIRST, *sentence, LAST]])).last_hidden_state[0].mean(0)
        torch.testing.assert_close(found[row], plain, atol=1e-5, rtol=1e-4)


def test_gaps_make_no_difference() -> None:
    encoder = Encoder(small())
    close, gaps = torch.tensor([[5, 9, 7, 0, 0]]), torch.tensor([[0, 5, 0, 9, 7]])
    both = torch.cat([close, gaps])
    found = encoder(vectors_of(both, encoder.table))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[:1], encoder(vectors_of(close, encoder.table)), atol=1e-5, rtol=1e-4)


def test_both_ways_in() -> None:
    encoder = Encoder(small())
    vectors, symbols = of_encoder(encoder, 8), of_encoder(encoder, 8, "symbols")
    assert vectors.takes.shape == (8, 16)
    assert vectors.takes.table is not None
    assert (symbols.takes.shape, symbols.takes.symbols) == ((8,), SIZES["symbols"])
    assert vectors.classes == symbols.classes == 16
    assert vectors.answers == symbols.answers == "features"
    sample = torch.tensor([[3, 8, 9, 0, 0, 0, 0, 0]])
    torch.testing.assert_close(symbols(sample), vectors(vectors_of(sample, encoder.table)))
    assert not any(p.requires_grad for p in encoder.parameters())
    with pytest.raises(UsageError, match="reads 1 to 18 symbols, not 19"):
        of_encoder(encoder, 19)


def test_prompts_train_before_it_and_it_stays() -> None:
    """One of two words stands somewhere among others, of which this untrained network knows nothing."""
    random = np.random.default_rng(0)
    classes = random.integers(2, size=160)
    sentences = random.integers(40, 60, size=(160, 4))
    sentences[np.arange(160), random.integers(4, size=160)] = 80 + classes
    torch.manual_seed(0)
    source = of_encoder(Encoder(Bert(**SIZES)), 12)
    parts: dict[str, Any] = {
        "samples": Space((4,), symbols=SIZES["symbols"]),
        "mapping": Verbaliser(),
        "batch_size": 16,
    }
    model = Reprogrammed(source, PromptTokens(2, 0, 2), epochs=8, **parts).fit(sentences[:80], classes[:80])
    assert model.history_[-1]["train_loss"] < 0.7 * model.history_[0]["train_loss"]
    assert model.score(sentences[80:], classes[80:]) > 0.8
    source.check_untouched()


def test_without_the_libraries_or_the_weights_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    install = r"pip install 'edgewise\[reprogram-text\]'"
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(UsageError, match=f"Reading text needs tokenizers: {install}"):
            symbols_of(["a"], 4)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    with pytest.raises(UsageError, match=f"weights are not installed: {install}"):
        load_encoder()


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match=r"model.safetensors cannot be read in .*: No such file"):
        load_encoder(tmp_path)
    for name in SHA256:
        (tmp_path / name).write_bytes(b"{}")
    pytest.importorskip("tokenizers")
    for asked in (lambda: load_encoder(tmp_path), lambda: symbols_of(["a"], 4, tmp_path)):
        with pytest.raises(
            EdgewiseError, match=r"is not the known encoder's \(its SHA-256 is 44136fa355b3…, not [0-9a-f]{12}…"
        ):
            asked()


@needs_weights
def test_text_becomes_the_encoder_s_symbols(tmp_path: Path) -> None:
    found = symbols_of(["Hello world, film!", "", "a b c d e f g h"], 6)
    assert found.tolist() == [[7592, 2088, 1010, 2143, 999, 0], [0] * 6, [1037, 1038, 1039, 1040, 1041, 1042]]
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    shutil.copy(Path(spec.origin).parent / "model" / "tokenizer.json", tmp_path)
    assert torch.equal(symbols_of(["Hello"], 3, tmp_path), torch.tensor([[7592, 0, 0]]))


@needs_weights
def test_the_real_one_knows_what_is_alike() -> None:
    """Cosines as its model card has them: like sentences near 1, others near 0.  And its weights are the known ones."""
    encoder = load_encoder()
    source = of_encoder(encoder, 16, "symbols")
    sentences = ["A man is eating food.", "Someone has a meal.", "The stock market fell sharply today."]
    said = torch.nn.functional.normalize(source(symbols_of(sentences, 16)), dim=1)
    alike = said @ said.t()
    assert float(alike[0, 1]) > 0.6 > 0.2 > float(alike[0, 2].abs())
    assert encoder.table.shape == (30522, 384)
