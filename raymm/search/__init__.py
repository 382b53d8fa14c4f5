"""Search algorithms, the ledger, and trials run on Ray Tune.

`create` gives a search to ask and tell in a loop of one's own, and `Several` one with several
objectives, of which `pareto` tells fronts and hypervolumes; importing them loads neither Ray nor
any algorithm's library.
"""

from raymm.artifacts import Categorical, Float, Int
from raymm.search import pareto
from raymm.search.ask_tell import AskTell, create
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.several import Several

__all__ = [
    "AskTell",
    "Categorical",
    "Float",
    "Int",
    "Result",
    "Searcher",
    "Several",
    "Suggestion",
    "create",
    "pareto",
]
