"""Without thinking the network is Hugging Face's T5, up to what docs/method.md §4.1 lists: a causal encoder, and a
position bias in cross-attention (set to zero here)."""

import pytest
import torch
from torch import Tensor

from s2gr.params import Reasoner
from s2gr.reasoner.backbone import Attention, Decoder, Encoder, FeedForward
from s2gr.reasoner.model import S2GR, Catalogue

pytest.importorskip("transformers")
from transformers import T5Config
from transformers.models.t5.modeling_t5 import T5Stack

DIM, HEADS, HEAD_DIM, INNER, LAYERS = 24, 3, 7, 40, 3


def stack() -> T5Stack:
    """A causal T5 stack; without encoder states it has no cross-attention, like a causal encoder."""
    config = T5Config(
        vocab_size=1,
        d_model=DIM,
        d_kv=HEAD_DIM,
        d_ff=INNER,
        num_heads=HEADS,
        num_layers=LAYERS,
        is_decoder=True,
        use_cache=False,
        is_encoder_decoder=False,
    )
    return T5Stack(config).eval()


def copy_attention(ours: Attention, theirs: torch.nn.Module) -> None:
    ours.query.weight.copy_(theirs.q.weight)
    ours.key_value.weight.copy_(torch.cat([theirs.k.weight, theirs.v.weight]))
    ours.output.weight.copy_(theirs.o.weight)


def copy_feed_forward(ours: FeedForward, theirs: torch.nn.Module) -> None:
    ours.up.weight.copy_(theirs.wi.weight)
    ours.down.weight.copy_(theirs.wo.weight)


@torch.no_grad()
def copy_stack(ours: Encoder | Decoder, theirs: T5Stack) -> None:
    """Random weights for ``theirs``, norms and position bias among them, and the same for ``ours``."""
    for name, parameter in theirs.named_parameters():
        parameter.normal_(1.0 if "layer_norm" in name else 0.0, 0.3)
    attention = theirs.block[0].layer[0].SelfAttention
    ours.norm.weight.copy_(theirs.final_layer_norm.weight)
    (ours.bias if isinstance(ours, Encoder) else ours.self_bias).table.weight.copy_(
        attention.relative_attention_bias.weight
    )
    for own, block in zip(ours.layers, theirs.block, strict=True):
        parts = block.layer
        copy_feed_forward(own.feed_forward, parts[2].DenseReluDense)
        own.feed_forward_norm.weight.copy_(parts[2].layer_norm.weight)
        if isinstance(ours, Encoder):
            copy_attention(own.attention, parts[0].SelfAttention)
            own.attention_norm.weight.copy_(parts[0].layer_norm.weight)
        else:
            copy_attention(own.self_attention, parts[0].SelfAttention)
            own.self_norm.weight.copy_(parts[0].layer_norm.weight)
            copy_attention(own.cross_attention, parts[1].EncDecAttention)
            own.cross_norm.weight.copy_(parts[1].layer_norm.weight)
    if isinstance(ours, Decoder):
        ours.memory_bias.table.weight.zero_()


@pytest.fixture
def model() -> S2GR:
    """TIGER on our network: no thoughts, no item embedding."""
    torch.manual_seed(0)
    params = Reasoner(
        thinking="none",
        dim=DIM,
        heads=HEADS,
        head_dim=HEAD_DIM,
        feed_forward=INNER,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        dropout=0.0,
        item_embedding=False,
        start="learned",
        ranking="beam",
    )
    codes = torch.cartesian_prod(*[torch.arange(4)] * 3)
    return S2GR(params, Catalogue(codes, 4, torch.zeros(3, 16, 2), torch.zeros(3, 4, dtype=torch.int64))).eval()


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_encoder_is_a_causal_t5_stack_at_every_distance(model: S2GR) -> None:
    theirs = stack()
    copy_stack(model.encoder, theirs)
    # Longer than T5's farthest bucket.
    tokens = torch.randn(2, 150, DIM)
    close(model.encoder(tokens), theirs(inputs_embeds=tokens).last_hidden_state)


@torch.no_grad()
def test_the_decoder_is_a_t5_decoder(model: S2GR) -> None:
    theirs = stack()
    copy_stack(model.decoder, theirs)
    tokens, encoded, lengths = torch.randn(4, 5, DIM), torch.randn(4, 6, DIM), torch.tensor([6, 1, 3, 5])
    index = torch.arange(6)
    context = model.decoder.context(encoded, (lengths[:, None] - 1 - index)[:, None])
    ours, _ = model.decoder(tokens[:, None], None, context)
    seen = (index < lengths[:, None]).float()
    expected = theirs(inputs_embeds=tokens, encoder_hidden_states=encoded, encoder_attention_mask=seen)
    close(ours[:, 0], expected.last_hidden_state)


@torch.no_grad()
def test_all_targets_of_a_history_get_the_logits_of_t5(model: S2GR) -> None:
    encoder, decoder = stack(), stack()
    copy_stack(model.encoder, encoder)
    copy_stack(model.decoder, decoder)
    items, position, targets = torch.randint(0, 64, (2, 7)), torch.tensor([[1, 4, 6]] * 2), torch.randint(0, 64, (2, 3))
    logits = model.decode(model.encode(items, position), targets).logits

    # T5 scales tied embeddings by 1/√d on the way out; ours are stored so, and scaled by √d on the way in.
    tables = model.code_table * DIM**0.5
    encoded = encoder(inputs_embeds=sum(tables[level][model.codes[items, level]] for level in range(3)))
    for column in range(3):
        codes = model.codes[targets[:, column]]
        given = [model.start.expand(2, -1), *(tables[level][codes[:, level]] for level in range(2))]
        output = decoder(
            inputs_embeds=torch.stack(given, 1),
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=(torch.arange(7) <= position[:, column, None]).float(),
        ).last_hidden_state
        close(logits[:, column], torch.einsum("bld,lkd->blk", output * DIM**-0.5, tables))
