"""The training objective: a packed batch in, the terms of the loss out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from s2gr.params import Reasoner
from s2gr.reasoner import losses
from s2gr.reasoner.batches import Batch
from s2gr.reasoner.decoding import Constraint, Following
from s2gr.reasoner.model import S2GR
from s2gr.reasoner.trie import build_trie


class Objective(nn.Module):
    """``forward(batch)`` returns each term, weighted, and ``loss``, their sum."""

    def __init__(self, model: S2GR, params: Reasoner) -> None:
        super().__init__()
        self.model, self.params = model, params

    @cached_property
    def constraint(self) -> Constraint:
        """Of the model's semantic IDs, where the model is when the first batch comes."""
        return Constraint.of(build_trie(self.model.codes.cpu().numpy()), self.model.codes.device)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        model, params = self.model, self.params
        memory = model.encode(batch.items, batch.position)
        there = batch.targets >= 0
        targets = batch.targets[there]
        decoded = model.decode(memory, batch.targets.clamp_min(0))
        following = self.constraint.following(decoded.logits[there], targets)
        terms = {"recommendation": losses.recommendation_loss(following)}
        if params.interest_weight:
            interest = model.interest(memory)[there]
            terms |= self._interest_terms(interest, targets, following)
            if decoded.thoughts is not None and params.regulariser:
                terms["regulariser"] = params.regulariser * losses.regulariser(decoded.thoughts[there][:, 0], interest)
        aligned = model.schedule.aligned
        if decoded.thoughts is not None and model.centre_map is not None and params.alignment:
            logits = model.cluster_logits(decoded.thoughts[there])
            levels = torch.tensor(list(aligned), device=targets.device)
            cluster = model.cluster[levels, model.codes[targets][:, levels]]
            terms["alignment"] = params.alignment * losses.alignment_loss(logits, cluster)
            right = (logits.argmax(-1) == cluster).float().mean(0)
        terms["loss"] = torch.stack(list(terms.values())).sum()
        # Not part of the sum: what a person watches.
        terms |= {f"code_{index}_accuracy": level.accuracy for index, level in enumerate(following, start=1)}
        if decoded.thoughts is not None and params.alignment:
            terms |= {f"thought_{level + 1}_accuracy": right[index] for index, level in enumerate(aligned)}
        return terms

    def _interest_terms(self, interest: Tensor, targets: Tensor, following: Sequence[Following]) -> dict[str, Tensor]:
        """What v_g ``[N, D]`` learns, and what it teaches the codes."""
        model, params, catalogue = self.model, self.params, len(self.model.codes)
        if params.interest == "batch":
            vectors = model.item_vectors(targets)
            loss = losses.batch_interest_loss(interest, vectors, targets, params.interest_temperature)
            return {"interest": params.interest_weight * loss}
        nodes = self.constraint.nodes[1 : model.levels]
        if not 0 < params.sampled_softmax < catalogue:
            scores = model.interest_logits(interest)
            loss = losses.catalogue_interest_loss(scores, targets)
        else:
            # From torch's own generator: a run that resumes draws what it would have drawn.
            sample = torch.randperm(catalogue, device=targets.device)[: params.sampled_softmax]
            own, sampled = model.item_vectors(targets), model.item_vectors(sample)
            loss = losses.sampled_interest_loss(interest, own, targets, sample, sampled, catalogue)
            with torch.no_grad():
                items = torch.cat([targets, sample]).unique()
                scores = model.interest_logits(interest, model.item_vectors(items))
                # An item of the sample stands for those that were not drawn; the targets are there by themselves.
                scores += math.log(catalogue / len(sample)) * ~torch.isin(items, targets)
            nodes = [node[items] for node in nodes]
        terms = {"interest": params.interest_weight * loss}
        if params.distillation:
            teacher = scores.detach().float().softmax(-1)
            terms["distillation"] = params.distillation * losses.distillation_loss(following, teacher, nodes)
        return terms
