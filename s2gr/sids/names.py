"""Readable names for the level-1 codes: the words that set the items of a code apart, by class-based TF-IDF.

c-TF-IDF (Grootendorst 2022, "BERTopic", arXiv 2203.05794, eq. 2): ``W(t, c) = tf(t, c) · log(1 + A / f(t))`` with
``A`` the mean number of terms per class and ``f(t)`` the term's count over all classes. A term counts once for an item
here, or one long description would name its whole code. And a name is to describe the items, not one of them: a term
must occur in a fifth of them, and in two at least.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from s2gr.sids.prefixes import IntArray, rank_in_group

# Terms of a name.
_TERMS = 3
# Items of a code that are read; more would not change the name, and a large catalogue's terms would fill the memory.
_READ = 200
_LEAST_SHARE, _LEAST_ITEMS = 0.2, 2
# A term of more than half of all items belongs to the form of the texts.
_MOST_ITEMS = 0.5
# Amounts, which stand in the titles of every shop.
_MEASURES = (
    "cm count ct fl floz fluid ft gm gms gr gram grams inch inches kg lb lbs mg mm ml ounce ounces oz "
    "pack packs pc pcs piece pieces pk size sized volts watt watts"
)
_ENDING = re.compile(r"(['’]s|(?:(?<=[sxz])|(?<=[sc]h))es|s)$")
# Two letters or more, the first no digit; hyphens and apostrophes inside.
_WORD = r"(?u)\b[^\W\d_][\w'’-]*[^\W_]\b"


def name_codes(codes: IntArray, size: int, texts: Sequence[str], most: int = _TERMS) -> list[str]:
    """A name for each code in ``[0, size)``: up to ``most`` terms, the most telling first, joined by commas.

    A code without items, or whose items have no text in common with anything, has an empty name.

    Args:
        codes: int64 ``[items]``, the level-1 code of each item.
        texts: the items' texts.
    """
    read = np.flatnonzero(_rank_spread(codes) < _READ)
    vectoriser = CountVectorizer(
        stop_words=sorted({*ENGLISH_STOP_WORDS, *_MEASURES.split()}), token_pattern=_WORD, min_df=2, binary=True
    )
    try:
        occurs = vectoriser.fit_transform([texts[row] for row in read.tolist()]).astype(np.int64)
    except ValueError:
        # scikit-learn's way to say that no term is left.
        return [""] * size
    terms = vectoriser.get_feature_names_out()
    frequency = np.asarray(occurs.sum(0)).ravel()
    items = np.bincount(codes[read], minlength=size)
    member = sparse.csr_array((np.ones(len(read), np.int64), (codes[read], np.arange(len(read)))), (size, len(read)))
    counts = sparse.csr_array(member @ occurs)
    weight = np.log(1 + counts.sum() / size / frequency)
    common = frequency > max(_MOST_ITEMS * len(read), _LEAST_ITEMS)
    names = []
    for code in range(size):
        held = slice(counts.indptr[code], counts.indptr[code + 1])
        term, count = counts.indices[held], counts.data[held]
        enough = (count >= min(items[code], max(_LEAST_ITEMS, _LEAST_SHARE * items[code]))) & ~common[term]
        term, score = term[enough], (count * weight[term])[enough]
        # Of equal scores the first in the alphabet, which is the order of the terms' numbers.
        names.append(", ".join(_distinct([terms[index] for index in term[np.lexsort((term, -score))]], most)))
    return names


def _rank_spread(codes: IntArray) -> IntArray:
    """For each item its place in its code's order, which goes through the catalogue in wide steps."""
    rank = rank_in_group(codes)
    total = np.bincount(codes)[codes]
    step = np.maximum(total // _READ, 1)
    # 0, step, 2 step, … come first, then 1, step + 1, …
    return rank % step * -(-total // step) + rank // step


def _distinct(terms: Sequence[str], most: int) -> list[str]:
    """The first terms, without other forms of the same word: ``soap``, ``soaps``; ``women``, ``women's``."""
    chosen: dict[str, str] = {}
    for term in terms:
        chosen.setdefault(_ENDING.sub("", term), term)
        if len(chosen) == most:
            break
    return list(chosen.values())
