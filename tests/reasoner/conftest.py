"""A small catalogue and an untrained reasoner over it, for each way of thinking."""

import numpy as np
import pytest
import torch

from s2gr.params import Reasoner
from s2gr.reasoner.model import S2GR, Catalogue

LEVELS, SIZE, ITEMS = 3, 4, 30


@pytest.fixture
def codes() -> np.ndarray:
    generator = np.random.default_rng(0)
    every = np.array(list(np.ndindex(*[SIZE] * LEVELS)))
    return every[generator.choice(len(every), ITEMS, replace=False)]


THINKING = {
    "none": {"thinking": "none"},
    "stepwise": {"thinking": "stepwise", "start": "learned", "interest_reader": "decoder"},
    "front-loaded": {"thinking": "stepwise", "steps": [2, 1, 0], "head_dim": 5},
    "pause": {"thinking": "pause", "steps": [1, 2, 0]},
    "before": {"thinking": "before", "steps": [1, 0, 2]},
    "paper": {
        "start": "learned",
        "interest_reader": "decoder",
        "interest": "batch",
        "distillation": 0.0,
        "item_embedding": False,
        "content_embedding": False,
    },
}


@pytest.fixture(params=THINKING)
def model(request: pytest.FixtureRequest, codes: np.ndarray) -> S2GR:
    torch.manual_seed(1)
    params = Reasoner(
        **THINKING[request.param],
        dim=16,
        heads=2,
        feed_forward=32,
        encoder_layers=2,
        decoder_layers=2,
        dropout=0.0,
        history=6,
        clusters=2,
    )
    centres, clusters = torch.randn(LEVELS, 2, 5), torch.randint(0, 2, (LEVELS, SIZE))
    catalogue = Catalogue(torch.from_numpy(codes), SIZE, centres, clusters, torch.randn(ITEMS, 7))
    network = S2GR(params, catalogue).eval()
    with torch.no_grad():
        # Position biases start near zero; a test should notice when they are applied wrongly.
        for name, parameter in network.named_parameters():
            if "bias.table" in name:
                parameter.normal_()
    return network
