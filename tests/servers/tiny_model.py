"""A language model of half a megabyte with random weights, for servers that run real models.

It knows bytes and ASCII. Left alone it babbles; under a grammar it gives whatever the grammar demands. It can also be
made to know one sentence, which it then says whatever it is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float32]"

CONTEXT = 16384
_LAYERS, _WIDTH, _HIDDEN, _HEADS = 2, 64, 128, 4
_BEGIN, _END = 1, 2
_CONTROLS = ("<unk>", "<s>", "</s>")
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
_SPACE = "\u2581"
_ASCII = tuple(_SPACE if code == 32 else chr(code) for code in range(32, 127))
_SPECIAL = len(_CONTROLS) + len(_BYTES)

# Two directions of the hidden state hold the same whatever the layers do: one is always on, and so its column in the
# output matrix is a bias; the other is on after a quotation mark. The rest of the width belongs to chance, or to the
# pieces of the sentence, one direction for each.
_ALWAYS, _QUOTED, _FREE = 0, 1, 2
_ON = 8.0

# Bytes are improbable: not every string of them is text. Strings, lists and numbers are short, and a string is not
# empty: what follows a quotation mark is neither another one nor a space.
_NEVER = -6.0
_BIAS = {'"': 0.6, ",": 0.3, "]": 0.3, "{": 0.4, "}": 0.2, "\\": -1.8, "e": -1.2, "E": -1.2, "[": -0.4}
_BIAS_AFTER_A_QUOTE = {'"': -6.0, _SPACE: -6.0, "]": 0.7}
_FIRST, _NEXT = 3.0, 12.0
_PIECE = 24  # characters: llama-cpp-python reads no more than 32 of a token


def make_model(path: Path, sentence: str = "") -> Path:
    """Write the model to `path`, the same bytes each time; it knows the `sentence`, if there is one."""
    gguf: Any = pytest.importorskip("gguf", reason="the model is written with gguf: pip install gguf")
    pieces = [sentence[start : start + _PIECE].replace(" ", _SPACE) for start in range(0, len(sentence), _PIECE)]
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, [*_CONTROLS, *_BYTES, *_ASCII, *pieces], gguf.TokenType)
    for name, tensor in _weights(len(pieces)).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _describe(writer: Any, tokens: list[str], kinds: Any) -> None:
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * len(_BYTES)]
    writer.add_token_types([*types, *[kinds.NORMAL] * (len(tokens) - len(types))])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(_BEGIN)
    writer.add_eos_token_id(_END)


def _weights(pieces: int) -> dict[str, Floats]:
    import numpy as np

    # the old generator, because its numbers are the same in every version of NumPy
    chance = np.random.RandomState(1)

    def random(*shape: int, scale: float) -> Floats:
        return (chance.standard_normal(shape) * scale).astype(np.float32)

    tokens = _SPECIAL + len(_ASCII) + pieces
    weights = {
        "token_embd.weight": random(tokens, _WIDTH, scale=1.0),
        "output.weight": random(tokens, _WIDTH, scale=0.1),
        "output_norm.weight": np.ones(_WIDTH, np.float32),
    }
    for layer in range(_LAYERS):
        block = {
            "attn_norm": np.ones(_WIDTH, np.float32),
            "attn_q": random(_WIDTH, _WIDTH, scale=0.1),
            "attn_k": random(_WIDTH, _WIDTH, scale=0.1),
            "attn_v": random(_WIDTH, _WIDTH, scale=0.1),
            "attn_output": random(_WIDTH, _WIDTH, scale=0.1),
            "ffn_norm": np.ones(_WIDTH, np.float32),
            "ffn_gate": random(_HIDDEN, _WIDTH, scale=0.1),
            "ffn_up": random(_HIDDEN, _WIDTH, scale=0.1),
            "ffn_down": random(_WIDTH, _HIDDEN, scale=0.1),
        }
        for name in ("attn_output", "ffn_down"):
            block[name][:_FREE] = 0
        weights |= {f"blk.{layer}.{name}.weight": tensor for name, tensor in block.items()}
    _bias(weights["token_embd.weight"], weights["output.weight"])
    if pieces:
        _teach(weights["token_embd.weight"], weights["output.weight"], pieces)
    return weights


def _bias(embedding: Floats, output: Floats) -> None:
    """Make some tokens likelier than others."""
    embedding[:, :_FREE] = output[:, :_FREE] = 0
    embedding[:, _ALWAYS] = _ON
    output[:_SPECIAL, _ALWAYS] = _NEVER
    output[_END, _ALWAYS] = 0
    for character, bias in _BIAS.items():
        output[_number(character), _ALWAYS] = bias
    embedding[_number('"'), _QUOTED] = _ON
    for character, bias in _BIAS_AFTER_A_QUOTE.items():
        output[_number(character), _QUOTED] = bias


def _teach(embedding: Floats, output: Floats, pieces: int) -> None:
    """Have the first piece of the sentence follow on anything, each other piece on its forerunner, and then the end.

    The pieces are the last tokens.
    """
    assert _FREE + pieces <= _WIDTH, "the sentence is too long for the width"
    first = len(embedding) - pieces
    output[first:, :] = 0
    output[first:, _ALWAYS] = _NEVER
    output[first, _ALWAYS] = _FIRST
    embedding[first:, _FREE:] = 0
    for piece in range(pieces):
        follower = first + piece + 1 if piece + 1 < pieces else _END
        embedding[first + piece, _FREE + piece] = _ON
        output[follower, _FREE + piece] = _NEXT


def _number(character: str) -> int:
    """The token of a character."""
    return _SPECIAL + _ASCII.index(character)
