"""The terms of S²GR's loss (docs/method.md §4.3): ``L_Rec + w_a Σ_l L_Align^l + w_i L_InfoNCE + λ L_Reg``.

The paper names only λ; the other weights are 1 there, and parameters here. Tensors: ``N`` targets, ``L`` levels,
``Kc`` clusters, width ``D``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from s2gr.reasoner.decoding import Following


def recommendation_loss(levels: Sequence[Following]) -> Tensor:
    """``Σ_l −log p(s_l | s_<l)``, the mean over targets: each p over the codes with which some item goes on."""
    return -torch.stack([level.own_log_probability for level in levels]).sum(0).mean()


def distillation_loss(levels: Sequence[Following], teacher: Tensor, nodes: Sequence[Tensor]) -> Tensor:
    """``Σ_{l<L} −Σ_c q(c | s_<l) log p(c | s_<l)``, the mean over targets.

    ``q`` is the teacher's distribution over items, summed up to the codes: an item-level view of what may come, of
    which the target alone tells one code a level. The last code is left out: few items are left to choose from.

    Args:
        levels: of the targets, one for each of the L levels.
        teacher: float32 ``[N, M]``, the probabilities of M items; no gradient flows back to it.
        nodes: for each depth from 1 to L − 1, the node that each of these items lies under: int64 ``[M]``.
    """
    total = teacher.new_zeros(())
    for level, node in zip(levels[:-1], nodes, strict=True):
        # Where the items are a sample, a code may lead to a node that none of them lies under.
        nodes_here = int(max(node.max(), level.child.max())) + 1
        mass = teacher.new_zeros(len(teacher), nodes_here).index_add_(1, node, teacher.detach())
        allowed = level.log_probabilities > -torch.inf
        mass = mass.gather(1, level.child).masked_fill(~allowed, 0.0)
        share = mass / mass.sum(1, keepdim=True).clamp_min(1e-30)
        total = total - (share * level.log_probabilities.masked_fill(~allowed, 0.0)).sum(1).mean()
    return total


def alignment_loss(logits: Tensor, cluster: Tensor) -> Tensor:
    """``Σ_l −log softmax(logits_l)[cluster of s_l]``, the mean over targets: ``[N, L, Kc]``, ``[N, L]``."""
    return functional.cross_entropy(logits.flatten(0, 1), cluster.flatten(), reduction="sum") / len(cluster)


def batch_interest_loss(interest: Tensor, items: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """In-batch InfoNCE of ``v_g`` towards the target item's vector, by cosine.

    Args:
        interest: ``[N, D]``.
        items: ``[N, D]``, the vector of each target.
        targets: ``[N]``; another row of the same item is not a negative.
    """
    logits = functional.normalize(interest, dim=-1) @ functional.normalize(items, dim=-1).T / temperature
    same = targets[:, None] == targets[None, :]
    same.fill_diagonal_(False)
    return functional.cross_entropy(logits.masked_fill(same, -torch.inf), torch.arange(len(targets)).to(targets))


def catalogue_interest_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of ``v_g · item`` over the whole catalogue: ``[N, items]``, ``[N]``."""
    return functional.cross_entropy(scores, targets)


def sampled_interest_loss(
    interest: Tensor, items: Tensor, targets: Tensor, sample: Tensor, sampled: Tensor, catalogue: int
) -> Tensor:
    """The same from a uniform sample of items: the sum under the softmax is estimated without bias.

    ``−log e^{s_t} / (e^{s_t} + n/m Σ_{j ∈ S, j ≠ t} e^{s_j})``: of the ``n`` items each is in ``S`` with probability
    ``m/n``, which the factor makes up for (logQ correction). Exact when the sample is the catalogue.

    Args:
        interest: ``[N, D]``.
        items: ``[N, D]``, the vector of each target.
        targets: int64 ``[N]``.
        sample: int64 ``[m]``, distinct items.
        sampled: ``[m, D]``, their vectors.
        catalogue: n.
    """
    own = (interest * items).sum(-1, keepdim=True)
    others = interest @ sampled.T + math.log(catalogue / len(sample))
    logits = torch.cat([own, others.masked_fill(sample == targets[:, None], -torch.inf)], 1)
    return functional.cross_entropy(logits, torch.zeros_like(targets))


def regulariser(first_thought: Tensor, interest: Tensor) -> Tensor:
    """``1 − cos(t_1, sg(v_g))``, the mean over targets: both ``[N, D]``."""
    return 1 - functional.cosine_similarity(first_thought, interest.detach(), dim=-1).mean()
