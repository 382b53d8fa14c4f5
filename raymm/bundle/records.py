"""The JSON records of a bundle file (schema, statistics, lineage) in one short text.

The records stand line under line. Numbers that are float32 are written as one, after a tilde:
``5.099999904632568`` is ``~5.1``. The text is then packed with `PHRASES` in front of it, which
holds the words that every bundle repeats; half of a small bundle is records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

SHORT, PLAIN = b"~", b"="
"""The first byte says whether numbers are shortened."""
LARGEST_VALUES = 1 << 22
"""Values of records at most, those of some 70,000 columns: each takes some 100 bytes of memory,
where its text may take two."""
_NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?")
_SHORTENED = re.compile(r"~(-?[\d.]+(?:e[-+]?\d+)?)")

PHRASES = (
    b"onnxraymm ai.onnx.ml prediction probabilities treeensembleregressor_ TreeEnsembleRegressor "
    b"labelencoder_ LabelEncoder keys_strings values_int64s default_int64 reducesum_ ReduceSum "
    b"reshape_ Reshape softmax_ Softmax sigmoid_ Sigmoid argmax_ ArgMax keepdims axis gather_ "
    b"Gather identity Identity concat_ Concat isnan_ IsNaN equal_ Equal where_ Where clip_ Clip "
    b"cast_ Cast gemm_ Gemm transB matmul_ MatMul relu_ Relu log_ Log exp_ Exp neg_ Neg div_ Div "
    b"add_ Add sub_ Sub mul_ Mul constant_ "
    b'=~{"classes":[],"columns":[{"categories":["no","yes"],"example":"","format":"ISO8601",'
    b'"kind":"boolean","maximum":1.0,"minimum":0.0,"missing":["?"],"name":"id","nullable":false,'
    b'"reason":"","role":"ignore"},{"categories":[],"example":"2024-01-01","format":"ISO8601",'
    b'"kind":"datetime","maximum":null,"minimum":null,"missing":[],"name":"date","nullable":true,'
    b'"reason":"","role":"feature"},{"categories":[],"example":null,"format":null,"kind":"text",'
    b'"maximum":null,"minimum":null,"missing":[],"name":"text","nullable":true,"reason":"",'
    b'"role":"feature"},{"categories":[],"example":~1.5,"format":null,"kind":"category",'
    b'"maximum":null,"minimum":null,"missing":[],"name":"class","nullable":true,"reason":"",'
    b'"role":"target"}],"target":"target","task":"regression","version":1}\n'
    b'{"classes":["0","1"],"columns":[{"categories":[],"example":0,"format":null,"kind":"number",'
    b'"maximum":~7.9,"minimum":~-0.1,"missing":[],"name":"","nullable":true,"reason":"",'
    b'"role":"feature"},"target":"y","task":"multiclass","version":1}"task":"binary","version":1}\n'
    b'{"columns":[{"counts":[],"deviation":null,"distinct":2,"edges":[],"kind":"category",'
    b'"mean":null,"mean_length":0.0,"missing":0,"name":"class","other":0,"quantiles":[],'
    b'"rows":100,"values":["no","yes"]},{"counts":[15,15,14,16],"deviation":0.82,"distinct":35,'
    b'"edges":[~4.8,~5.0,~5.2,~5.6,~6.1,~6.3,~6.7],"kind":"number","mean":5.8,"mean_length":0.0,'
    b'"missing":0,"name":"","other":0,"quantiles":[~-4.3,~4.4,~4.6,~5.1,~5.8,~6.4,~7.7,~7.9],'
    b'"rows":120,"values":[]},],"rows":120,"version":1}\n'
    b'{"configuration":{"compression":{"max_loss":0.0005,"techniques":"auto"},"data":{"exclude":[],'
    b'"group":null,"positive":null,"schema":null,"target":"target","task":"auto","test":0.2,'
    b'"time":null},"goal":{"at_least":null,"calibration":"auto","confidence":0.95,'
    b'"decision":"auto","limits":{"bundle_mb":null,"latency_p99_ms":null},"metric":"auto",'
    b'"protected":[]},"name":"iris","search":{"algorithm":"auto","compute":null,"cpus":"auto",'
    b'"ensemble":"auto","ensemble_share":0.2,"families":"auto","gpus":0.0,"max_budget":null,'
    b'"max_failures":2,"min_budget":null,"parallel":"auto","plateau":"none","runner":"auto",'
    b'"scheduler":"auto","time":null,"trial_timeout":null,"trials":40,"warm":"auto"},"seed":0},'
    b'"data_sha256":"","ledger":"","packages":{"catboost":"1.2","lightgbm":"4.7.0","numpy":"2.4.6",'
    b'"onnxruntime":"1.32.0","raymm":"0.1.0","scikit-learn":"1.9.1","scipy":"1.17.1",'
    b'"xgboost-cpu":"3.2.0"},"recipe":{"calibration":[1.0,0.0],"decision":[],"members":[{"trial":'
    b'{"config":{"family":"linear","linear.C":0.03},{"family":"xgboost",'
    b'"xgboost.colsample_bylevel":1.0,"xgboost.colsample_bytree":0.8,"xgboost.learning_rate":0.05,'
    b'"xgboost.max_bin":256,"xgboost.max_depth":6,"xgboost.min_child_weight":1.0,'
    b'"xgboost.reg_alpha":0.001,"xgboost.reg_lambda":1.0,"xgboost.subsample":0.9},'
    b'{"family":"lightgbm","lightgbm.bagging_fraction":0.9,"lightgbm.extra_trees":false,'
    b'"lightgbm.feature_fraction":0.8,"lightgbm.lambda_l1":0.001,"lightgbm.lambda_l2":0.1,'
    b'"lightgbm.learning_rate":0.05,"lightgbm.max_bin":255,"lightgbm.min_child_samples":20,'
    b'"lightgbm.num_leaves":31},"error":"","fold_values":[0.9],"id":"portfolio-0","metrics":{},'
    b'"number":0,"rounds":100,"rungs":[[100,0.9]],"status":"finished","value":0.9},"weight":1.0}],'
    b'"version":1},"run":"","seed":0,"source":"data.csv","trial":{"config":{"family":"'
)
"""Part of the format: a file is read with the very phrases that it was written with."""


def to_text(records: Sequence[Any]) -> bytes:
    """Return records as one text.

    Raises
    ------
    ValueError
        When a number is NaN or infinite.
    """
    lines = [
        json.dumps(record, sort_keys=True, allow_nan=False, separators=(",", ":"))
        for record in records
    ]
    text = "\n".join(lines)
    short = _NUMBER.sub(_short, text)
    if "~" not in text and _long(short) == text:
        return SHORT + short.encode()
    return PLAIN + text.encode()


def from_text(data: bytes) -> list[Any]:
    """Return the records of a text.

    Raises
    ------
    ValueError, RecursionError
        When the text is none that `to_text` wrote.
    """
    if values(data) > LARGEST_VALUES:
        raise ValueError(f"they must have at most {LARGEST_VALUES} values")
    text = data[1:].decode()
    if data[:1] not in (SHORT, PLAIN):
        raise ValueError("their text must begin with ~ or =")
    return [json.loads(line) for line in (_long(text) if data[:1] == SHORT else text).split("\n")]


def values(data: bytes) -> int:
    """Return how many values a text has at most."""
    return sum(map(data.count, (b",", b"[", b"{")))


def _short(match: re.Match[str]) -> str:
    with np.errstate(over="ignore"):
        short = f"~{np.float32(float(match[0]))!s}"
    return short if len(short) < len(match[0]) and _long(short) == match[0] else match[0]


def _long(text: str) -> str:
    with np.errstate(over="ignore"):
        return _SHORTENED.sub(lambda match: repr(float(np.float32(float(match[1])))), text)
