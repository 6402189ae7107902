"""reports/codes.csv: a row per level-1 code, its size, name and typical titles."""

import csv
from pathlib import Path

import numpy as np

from s2gr.sids.codes import write_codes


def write(path: Path) -> None:
    latent = np.array([[0.0], [0.3], [0.1], [0.2], [5.0], [0.05]], np.float32)
    vectors = np.array([[0.0], [9.0], [5.0]], np.float32)
    titles = ["Soap A", "Soap B", "Soap,\n C", "Soap D", "Wig", "Soap A"]
    texts = ["soap", "bar soap", "soap bar", "soap", "wig", "soap"]
    write_codes(path, np.array([0, 0, 0, 0, 2, 0]), latent, vectors, titles, texts)


def test_each_code_has_its_name_and_distinct_titles_nearest_to_its_vector(tmp_path: Path) -> None:
    write(tmp_path / "reports/codes.csv")
    with (tmp_path / "reports/codes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["code", "items", "name", "example_1", "example_2", "example_3"]
    assert [row[:2] for row in rows[1:]] == [["0", "5"], ["1", "0"], ["2", "1"]]
    assert [row[2] for row in rows[1:]] == ["bar", "", ""]
    assert rows[1][3:] == ["Soap A", "Soap, C", "Soap D"]
    assert rows[3][3:] == ["Wig", "", ""]
