"""Stage ``content``: the text of every item, or vectors that the user brings → unit-length content embeddings.

The map from text to embedding is kept beside them, for items that come later (``s2gr assign``).
"""

from __future__ import annotations

from s2gr.console import log
from s2gr.content.frozen import content_model, save_content_model
from s2gr.content.precomputed import load_precomputed
from s2gr.embeddings import embedding_table
from s2gr.errors import UserError
from s2gr.params import Params
from s2gr.stage import Metrics
from s2gr.workspace import Workspace, read_table, write_table

# The share of items without a word in common with any other, above which words are no content.
_MANY_ALONE = 0.5


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Write ``content.parquet`` (``item_id`` and ``embedding``, in the order of ``items.parquet``) and its model.

    Raises: UserError: no text to embed, a model that can't be loaded, or embeddings that don't fit the items.
    """
    content = params.content
    items = read_table(inputs.items, ["item_id", "text"])
    texts: list[str] = items["text"].to_pylist()
    details: dict[str, float] = {}
    fitted = None
    if content.kind == "precomputed":
        assert content.embeddings is not None  # params refuse it otherwise
        ids = items["item_id"].to_pylist()
        embeddings = load_precomputed(ids, params.source, content.embeddings, content.ids)
    elif content.kind == "sentence-transformers":
        from s2gr.content.language_model import embed_sentences

        assert content.model is not None  # params refuse it otherwise
        embeddings = embed_sentences(texts, content.model, params.runtime)
    elif content.frozen is not None:
        from s2gr.content.frozen import load_content_model

        fitted = load_content_model(content.frozen).tfidf
        if fitted is None:
            raise UserError(f"content.frozen: {content.frozen} holds no TF-IDF model; name another folder, or null")
        embeddings, known = fitted.embed(texts)
        details = {"terms": len(fitted.terms), "items_without_terms": int((~known).sum())}
    else:
        from s2gr.content.tfidf import embed_tfidf

        result = embed_tfidf(texts, content.dim, params.runtime.seed)
        embeddings, fitted = result.embeddings, result.model
        details = {
            "terms": result.terms,
            "explained_variance": result.explained_variance,
            "items_without_terms": result.without_terms,
            "items_alone": result.alone,
        }
        if result.alone > _MANY_ALONE * len(texts):
            log.warning(
                "%d of %d items share no word with another one, so their content tells nothing of them; where texts "
                "have no spaces between words (Chinese, Japanese, Thai), use content.kind sentence-transformers or "
                "precomputed",
                result.alone,
                len(texts),
            )
    write_table(embedding_table(items["item_id"], embeddings), outputs.content)
    save_content_model(content_model(outputs), content, embeddings.shape[1], fitted)
    filled = [text for text in texts if text.strip()]
    return {
        "kind": content.kind,
        "items": len(texts),
        "dim": embeddings.shape[1],
        "frozen": str(content.frozen) if content.frozen else None,
        "empty_texts": len(texts) - len(filled),
        "duplicate_texts": len(filled) - len(set(filled)),
        **details,
    }
