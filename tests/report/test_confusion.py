"""Confusion matrices, against scikit-learn's."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from raymm.report.confusion import CLASSES, MISTAKES, confusion, counts


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_counts_are_those_of_scikit_learn(classes):
    generator = np.random.default_rng(classes)
    truth = generator.integers(0, classes, 300)
    chances = generator.dirichlet(np.ones(classes), 300)
    expected = confusion_matrix(truth, chances.argmax(axis=1), labels=range(classes))
    assert counts(truth, chances, classes).tolist() == expected.tolist()


def test_every_count_is_drawn_in_its_row_and_column():
    matrix = np.array([[50, 3], [4, 60]])
    root = ET.fromstring(confusion(matrix, ["<no>", "yes"]))
    cells = [
        (float(one.get("y")), float(one.get("x")), one.text)
        for one in root.iter("text")
        if one.get("class") == "strong"
    ]
    assert [text for _, _, text in sorted(cells)] == ["50", "3", "4", "60"]
    assert "110 of 117 rows are right; 4 of yes as <no>" in root.get("aria-label")


def test_many_classes_list_their_commonest_mistakes():
    classes = CLASSES + 1
    matrix = np.diag(np.full(classes, 9))
    matrix[2, 5], matrix[7, 1] = 6, 4
    root = ET.fromstring(confusion(matrix, [f"c{i}" for i in range(classes)]))
    assert sum(1 for _ in root.iter("rect")) == 2 <= MISTAKES
    assert "c2 as c5 6, c7 as c1 4" in root.get("aria-label")
