"""A small catalogue and an untrained reasoner over it, with and without thinking."""

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


@pytest.fixture(params=["none", "stepwise"])
def model(request: pytest.FixtureRequest, codes: np.ndarray) -> S2GR:
    torch.manual_seed(1)
    params = Reasoner(
        thinking=request.param,
        dim=16,
        heads=2,
        feed_forward=32,
        encoder_layers=2,
        decoder_layers=2,
        dropout=0.0,
        history=6,
        clusters=2,
    )
    catalogue = Catalogue(torch.from_numpy(codes), SIZE, torch.randn(LEVELS, 2, 5), torch.randint(0, 2, (LEVELS, SIZE)))
    network = S2GR(params, catalogue).eval()
    with torch.no_grad():
        # Position biases start near zero; a test should notice when they are applied wrongly.
        for name, parameter in network.named_parameters():
            if "bias.table" in name:
                parameter.normal_()
    return network
