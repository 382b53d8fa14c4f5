"""Frozen types that the stages of a model's life hand to each other.

Only the standard library, numpy and pandas are used here, so any stage can be read and tested
alone. Every type that is stored can be written as plain JSON with `as_record` and read back with
`from_record`; a type that stands alone in storage carries an integer ``version``.
"""

from raymm.artifacts.doubt import Doubt, Doubts
from raymm.artifacts.kinds import (
    NO_TIME,
    Config,
    Direction,
    Encoding,
    Floats,
    Indices,
    Kind,
    Operation,
    Role,
    Scalar,
    Task,
    Tensors,
)
from raymm.artifacts.many_values import ManyValues
from raymm.artifacts.proof import (
    Audit,
    Blessing,
    Check,
    Evaluation,
    Explanation,
    Importance,
    Score,
    SliceScore,
)
from raymm.artifacts.recipe import Finding, Member, Recipe, recipe_of
from raymm.artifacts.records import as_record, from_record
from raymm.artifacts.release import Candidate, Frontier, Lineage, Release, Version
from raymm.artifacts.space import Categorical, Float, Int, Parameter, Space
from raymm.artifacts.table import (
    LEFT_OUT,
    Anomaly,
    Column,
    ColumnStatistics,
    Dataset,
    Fold,
    Interaction,
    Schema,
    Shape,
    Statistics,
    Table,
    Written,
)
from raymm.artifacts.traffic import (
    Batch,
    Errors,
    Feedback,
    Notify,
    OneRow,
    Predictions,
    Progress,
    Reliability,
    Target,
    Watcher,
)
from raymm.artifacts.trial import MetricLike, Trial, Trials
from raymm.artifacts.wish import Wish

__all__ = [
    "LEFT_OUT",
    "NO_TIME",
    "Anomaly",
    "Audit",
    "Batch",
    "Blessing",
    "Candidate",
    "Categorical",
    "Check",
    "Column",
    "ColumnStatistics",
    "Config",
    "Dataset",
    "Direction",
    "Doubt",
    "Doubts",
    "Encoding",
    "Errors",
    "Evaluation",
    "Explanation",
    "Feedback",
    "Finding",
    "Float",
    "Floats",
    "Fold",
    "Frontier",
    "Importance",
    "Indices",
    "Int",
    "Interaction",
    "Kind",
    "Lineage",
    "ManyValues",
    "Member",
    "MetricLike",
    "Notify",
    "OneRow",
    "Operation",
    "Parameter",
    "Predictions",
    "Progress",
    "Recipe",
    "Release",
    "Reliability",
    "Role",
    "Scalar",
    "Schema",
    "Score",
    "Shape",
    "SliceScore",
    "Space",
    "Statistics",
    "Table",
    "Target",
    "Task",
    "Tensors",
    "Trial",
    "Trials",
    "Version",
    "Watcher",
    "Wish",
    "Written",
    "as_record",
    "from_record",
    "recipe_of",
]
