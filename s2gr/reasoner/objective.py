"""The training objective: a packed batch in, the terms of the loss out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2gr.params import Reasoner
from s2gr.reasoner import losses
from s2gr.reasoner.batches import Batch
from s2gr.reasoner.model import S2GR


class Objective(nn.Module):
    """``forward(batch)`` returns each term, weighted, and ``loss``, their sum."""

    def __init__(self, model: S2GR, params: Reasoner) -> None:
        super().__init__()
        self.model, self.params = model, params

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        model, params = self.model, self.params
        memory = model.encode(batch.items, batch.position)
        there = batch.targets >= 0
        targets = batch.targets[there]
        codes = model.codes[targets]
        decoded = model.decode(memory, batch.targets.clamp_min(0))
        terms = {"recommendation": losses.recommendation_loss(decoded.logits[there], codes)}
        if params.interest_weight:
            interest, vectors = model.interest(memory)[there], model.item_vectors()
            if params.interest == "catalogue":
                found = losses.catalogue_interest_loss(interest, vectors, targets)
            else:
                temperature = params.interest_temperature
                found = losses.batch_interest_loss(interest, vectors[targets], targets, temperature)
            terms["interest"] = params.interest_weight * found
            if decoded.thoughts is not None and params.regulariser:
                terms["regulariser"] = params.regulariser * losses.regulariser(decoded.thoughts[there][:, 0], interest)
        if decoded.thoughts is not None and params.alignment:
            centres = torch.einsum("lkc,lcd->lkd", model.centres, model.centre_map)
            logits = losses.cluster_logits(decoded.thoughts[there], centres, params.alignment_temperature)
            levels = torch.arange(model.levels, device=codes.device)
            cluster = model.cluster[levels, codes]
            terms["alignment"] = params.alignment * losses.alignment_loss(logits, cluster)
            right = (logits.argmax(-1) == cluster).float().mean(0)
        terms["loss"] = torch.stack(list(terms.values())).sum()
        # Not part of the sum: what a person watches.
        hit = (decoded.logits[there].argmax(-1) == codes).float().mean(0)
        terms |= {f"code_{level + 1}_accuracy": hit[level] for level in range(model.levels)}
        if decoded.thoughts is not None and params.alignment:
            terms |= {f"thought_{level + 1}_accuracy": right[level] for level in range(model.levels)}
        return terms
