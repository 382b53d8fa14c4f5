"""What is stored of a proof can be read again."""

from __future__ import annotations

from raymm.artifacts import Audit, Blessing, Check, Score, SliceScore, as_record, from_record


def test_blessings_and_audits_come_back_equal():
    blessing = Blessing(blessed=False, checks=(Check(name="a", passed=False, statement="s"),))
    score = Score(metric="m", value=0.5, low=0.4, high=0.6)
    audit = Audit(groups=(SliceScore(column="c", value="v", rows=2, score=score),), gaps=(score,))
    assert from_record(Blessing, as_record(blessing)) == blessing
    assert from_record(Audit, as_record(audit)) == audit
