"""Quality figures against hand-computed values."""

import numpy as np
import pytest

from s2gr.sids.quality import cohesion, collision_share, level_quality, prefix_entropy, quality, unique_rate


def test_equal_use_of_all_codes_is_perfect() -> None:
    quality = level_quality(np.repeat(np.arange(4), 3), 4)
    assert (quality.utilisation, quality.dead_codes, quality.largest_code) == (1.0, 0, 3)
    assert quality.entropy == pytest.approx(2)
    assert quality.perplexity == pytest.approx(4)
    assert quality.gini == pytest.approx(0)


def test_skewed_use_by_hand() -> None:
    quality = level_quality(np.array([0, 0, 0, 1]), 4)
    assert (quality.utilisation, quality.dead_codes, quality.largest_code) == (0.5, 2, 3)
    assert quality.entropy == pytest.approx(-(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)))
    # Gini of (0, 0, 1, 3): Σ|x_i − x_j| over all ordered pairs / (2 n Σ x) = 20 / (2 · 4 · 4).
    assert quality.gini == pytest.approx(20 / 32)


def test_collision_share_counts_items_not_groups() -> None:
    codes = np.array([[0, 0], [0, 0], [0, 0], [1, 2], [1, 3]])
    assert collision_share(codes, 4) == (pytest.approx(3 / 5), 3)
    assert collision_share(np.array([[0, 1], [1, 0]]), 2) == (0.0, 1)


def test_prefix_entropy_reaches_log2_of_the_items_when_ids_are_unique() -> None:
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert prefix_entropy(codes, 2) == [pytest.approx(1), pytest.approx(2)]


def test_cohesion_by_hand() -> None:
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    pairs = np.array([[0, 1], [0, 2]])
    found = cohesion(codes, 2, pairs, levels=1)
    assert found.cooccurring == pytest.approx(1 / 2)
    # Of the 12 ordered pairs of distinct items, 4 share code 1.
    assert found.random == pytest.approx(4 / 12)
    assert found.ratio == pytest.approx(1.5)
    assert cohesion(codes, 2, pairs, levels=2).ratio is None


def test_unique_rate_counts_each_semantic_id_once() -> None:
    assert unique_rate(np.array([[0, 0], [0, 0], [0, 0], [1, 2], [1, 3]]), 4) == pytest.approx(3 / 5)


def test_the_report_has_every_level() -> None:
    codes = np.random.default_rng(0).integers(0, 4, (30, 3))
    told = quality(codes, 4, np.array([[0, 1]]))
    assert list(told) == ["cohesion_1", "cohesion_2", "level_1", "level_2", "level_3"]
    assert told["level_2"]["prefix_entropy"] == prefix_entropy(codes, 4)[1]
