"""The last refit: what is blessed may be trained anew on all rows before it ships.

The proof needs test rows that the model has not seen. Once it has been given, the same recipe may
learn from these rows too (``goal.refit: all``): what ships is then another bundle than the one
that was proven, and every score is still that of the proven one, which is kept beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from raymm import champions
from raymm.artifacts import Candidate, Check, Dataset, Finding, Indices, Recipe
from raymm.bundle import build as building
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression import frontier as compressing
from raymm.data import statistics
from raymm.errors import Interrupted
from raymm.evaluation import slices as slicing
from raymm.evaluation.compressed import Pair
from raymm.evaluation.refitted import refitted
from raymm.forms import require_parity
from raymm.proving import Proof, limits
from raymm.sections import Goal
from raymm.stages import Built, Life, chosen, free_threads, kept, lineage_of, runner, trained_rows

NAME = "refit"
LEARNT_ROWS = 20_000
"""Training rows at most on which both bundles' answers are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """A bundle of all rows: SHA-256 of the file and of that before compression, and the check.

    Both are empty where no bundle could be made, or it is not as good as it must be. ``plain`` is
    what the latter takes with its graph as it is, in bytes.
    """

    bundle: str
    full: str
    check: Check
    plain: int = 0


def rows_of(dataset: Dataset, goal: Goal) -> Indices:
    """Return the rows that what ships is trained on, sorted: with ``refit`` "all" every row."""
    return champions.every_row(dataset) if goal.refit == "all" else dataset.train


def refit(life: Life, recipe: Recipe, built: Built, proof: Proof) -> tuple[Recipe, Built, Proof]:
    """Train a blessed recipe on all rows where the goal asks for it; say what was trained on what.

    Nothing changes where the goal does not, where nothing is blessed, and where the new bundle
    cannot be made, does not predict as its models do, is beyond the goal's limits, or is not as
    good as it must be (see `raymm.evaluation.refitted`): a check of the blessing, "refit", says
    why then.

    Parameters
    ----------
    built, proof
        What was built on training rows, and what test rows say of it.

    Returns
    -------
    Recipe
        With a finding, "refit".
    Built, Proof
        Of what ships. Evaluation and blessing stay those of the proven bundle; the blessing has
        one check more.
    """
    train, test = len(life.dataset.train), len(life.dataset.test)
    if life.config.goal.refit != "all":
        told = (
            f"Trained on all {train:,} training rows after the search, those of validation too; "
            f"the {test:,} test rows are left alone."
        )
        return _found(recipe, told, kept=True), built, proof
    if not proof.blessing.blessed:
        told = (
            f"No refit on all rows, as the bundle is not blessed: it stays trained on the "
            f"{train:,} training rows, as it was judged."
        )
        return _found(recipe, told, kept=False), built, proof
    form = _form(built, proof)
    deciding = {
        "recipe": recipe.deciding(),
        "proven": [proof.bundle, built.full],
        "form": [form.technique, dict(form.parameters)],
        "max_loss": life.config.compression.max_loss,
        "goal": life.config.goal.model_dump(mode="json", include={"limits", "confidence"}),
    }
    found = kept(life, NAME, deciding, Refit, lambda: _refit(life, recipe, form, proof))
    blessing = replace(proof.blessing, checks=(*proof.blessing.checks, _told(life, proof, found)))
    if not found.check.passed:
        told = f"No refit on all rows: {found.check.statement}"
        return _found(recipe, told, kept=False), built, replace(proof, blessing=blessing)
    told = (
        f"After the proof it was trained anew on all {train + test:,} rows, the {test:,} test "
        f"rows too; scores are those of the proven bundle, {proof.bundle[:12]}."
    )
    forms = tuple(replace(one, chosen=one is form) for one in built.frontier.candidates)
    frontier = replace(built.frontier, candidates=forms)
    return (
        _found(recipe, told, kept=True),
        Built(bundle=found.bundle, full=found.full, frontier=frontier, plain=found.plain),
        replace(proof, bundle=found.bundle, proven=proof.bundle, blessing=blessing),
    )


def _found(recipe: Recipe, statement: str, *, kept: bool) -> Recipe:
    others = tuple(one for one in recipe.findings if one.policy != NAME)
    finding = Finding(policy=NAME, kept=kept, statement=statement)
    return replace(recipe, findings=(*others, finding))


def _form(built: Built, proof: Proof) -> Candidate:
    """Return the form that was blessed: the chosen one, or the first, before compression."""
    whole = proof.bundle == built.full
    return built.frontier.candidates[0] if whole else chosen(built.frontier)


def _told(life: Life, proof: Proof, found: Refit) -> Check:
    """Return the blessing's check. It is passed in any case: the proven bundle is blessed."""
    train, test = len(life.dataset.train), len(life.dataset.test)
    if not found.check.passed:
        text = (
            f"What was proven ships, trained on the {train:,} training rows: the refit on all "
            f"{train + test:,} rows is not taken. {found.check.statement}"
        )
        return Check(name=NAME, passed=True, statement=text)
    text = (
        f"Every score here is that of bundle {proof.bundle[:12]}, trained without the {test:,} "
        f"test rows. What ships is bundle {found.bundle[:12]}, trained on all {train + test:,} "
        f"rows by the same recipe, so no row is left to score it on: {found.check.statement}"
    )
    return Check(name=NAME, passed=True, statement=text)


def _refit(life: Life, recipe: Recipe, form: Candidate, proof: Proof) -> Refit:
    try:
        full, made = trained(life, recipe, form)
        check = _check(life, made, proof)
    except (Interrupted, OSError, MemoryError):
        raise  # what may be otherwise the next time is not recorded
    except Exception as error:  # of any library; the proven bundle is there
        said = f"It could not be made: {error}"
        return Refit(bundle="", full="", check=Check(name=NAME, passed=False, statement=said))
    if not check.passed:
        return Refit(bundle="", full="", check=check)
    store = life.registry.store
    stored = store.put_blob(made.to_bytes())
    whole = stored if made is full else store.put_blob(full.to_bytes())
    beyond = [one for one in limits(life, stored) if not one.passed]
    check = beyond[0] if beyond else check
    return Refit(bundle=stored, full=whole, check=check, plain=full.plain_bytes)


def trained(life: Life, recipe: Recipe, form: Candidate) -> tuple[Bundle, Bundle]:
    """Train a recipe on all rows; return the bundle before compression, and in a form of it.

    Statistics, too, are those of all rows. Which columns are split into sets, and the like, stays
    as the training rows decided it.

    Raises
    ------
    ParityError
        When a graph does not predict as what was trained does.
    """
    dataset, rows, seed = life.dataset, champions.every_row(life.dataset), life.config.seed
    full, blend = building.build(
        dataset,
        recipe,
        rows=rows,
        statistics=statistics.reference(replace(dataset, train=rows)),
        lineage=lineage_of(life, recipe, refit=True),
        threads=free_threads(life.config),
        check_rows=dataset.test,
    )
    made = compressing.apply(full, form, trained_rows(dataset, rows, life.metric, seed))
    require_parity(made, form, dataset=dataset, rows=rows, blend=blend, seed=seed)
    return full, made


def _check(life: Life, made: Bundle, proof: Proof) -> Check:
    """Hold the bundle of all rows against the proven one, on test and on training rows."""
    dataset, seed = life.dataset, life.config.seed
    learnt = dataset.train
    if len(learnt) > LEARNT_ROWS:
        generator = np.random.default_rng([seed, 12])
        learnt = np.sort(generator.choice(learnt, LEARNT_ROWS, replace=False))
    new, old = Runner(made, threads=free_threads(life.config)), runner(life, proof.bundle)

    def pair(rows: Indices) -> Pair:
        tensors = dataset.rows(rows)
        return Pair(
            truth=dataset.y[rows],
            made=new.predict(tensors),
            full=old.predict(tensors),
            decision=made.schema.decision,
            seed=seed,
        )

    return refitted(
        pair(dataset.test),
        pair(learnt),
        task=dataset.schema.task,
        metric=life.metric,
        score=proof.evaluation.score,
        direction=life.metric.direction,
        max_loss=life.config.compression.max_loss,
        slices=tuple(slicing.slices(dataset.frame, dataset.schema, dataset.test)),
    )
