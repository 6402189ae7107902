"""What the published model says of the newest events and items, beside what its bundle says of those it left out."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from data_checks import model_signals, new_items
from data_checks.signals import NotMeasured, Signal
from s2gr.codebook.loading import load_codebook
from s2gr.content.frozen import content_model, load_content_model
from s2gr.content.precomputed import load_precomputed
from s2gr.database import one_file, sql
from s2gr.embeddings import Matrix
from s2gr.errors import UserError
from s2gr.params import Params
from s2gr.publish.reference import Reference, ask, fallback_of, quantisation_errors
from s2gr.publish.since import Since, last_events
from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace

Measured = Signal | NotMeasured


def measure(
    connection: duckdb.DuckDBPyConnection, workspace: Workspace, bundle: Workspace, params: Params, false_alarm: float
) -> tuple[Measured, Measured, Measured]:
    """The signals of new items, of thinking and of recall.

    Args:
        connection: with the views of since.sql and the table of windows.sql.
        false_alarm: of each signal.
    """
    drift, before = params.drift, Reference.read(bundle)
    now = ask(Recommender.load(bundle, params), _newest(connection), params)
    return (
        _new_items(connection, workspace, bundle, before, params, false_alarm),
        model_signals.thinking(now.entropy, before.answers.entropy, false_alarm, drift.thinking),
        model_signals.recall(now.recall, before.answers.recall, false_alarm, drift.recall_lost),
    )


def _newest(connection: duckdb.DuckDBPyConnection) -> Since:
    table = connection.sql(sql(__file__, "histories.sql")).to_arrow_table().combine_chunks()
    users = table["user"].to_numpy().astype(np.int64)
    since = table["since"].to_numpy(zero_copy_only=False)
    return last_events(users, table["item_id"].combine_chunks().cast(pa.string()), since)


def _new_items(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    bundle: Workspace,
    before: Reference,
    params: Params,
    false_alarm: float,
) -> Measured:
    try:
        content = _content(connection, workspace, bundle, params)
    except UserError as error:
        return NotMeasured(str(error))
    found = quantisation_errors(load_codebook(bundle.codebook), content, fallback_of(bundle))
    return new_items.compare(found, before.left_out, false_alarm, params.drift.new_items)


def _content(connection: duckdb.DuckDBPyConnection, workspace: Workspace, bundle: Workspace, params: Params) -> Matrix:
    """Content embeddings of the current window's items without a semantic ID.

    Raises: UserError: the user's own embeddings (content.kind precomputed) lack one, or are named no more.
    """
    model = load_content_model(content_model(bundle))
    if not workspace.items.exists():
        return np.zeros((0, model.dim), dtype=np.float32)
    rows = connection.execute(
        f"""
        SELECT item_id, text FROM read_parquet({one_file(workspace.items)})
        SEMI JOIN (SELECT item_id FROM windows WHERE side = 'current' AND codes IS NULL) AS new USING (item_id)
        ORDER BY item_id
        """
    ).fetchall()
    if not rows:
        return np.zeros((0, model.dim), dtype=np.float32)
    if model.kind == "precomputed":
        if params.content.embeddings is None:
            raise UserError(
                "the published model's content embeddings are your own (content.kind precomputed), but "
                "content.embeddings is null now; name the file that holds those of the new items, too"
            )
        return load_precomputed([row[0] for row in rows], params.source, params.content.embeddings, params.content.ids)
    return model.embed([row[1] for row in rows], params.runtime)[0]
