"""ray job submit --working-dir . -- python jobs/svm.py [MINUTES]: an SVM's C and gamma, tuned.

The classical example of Bayesian optimisation; docs/svm.md shows what happens.
"""

import sys

from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import raymm

SPACE = {
    "svc__C": raymm.Float(1e-2, 1e3, log=True),
    "svc__gamma": raymm.Float(1e-5, 1.0, log=True),
}

if __name__ == "__main__":
    X, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), SVC())
    limit = {"time": f"{sys.argv[1]}m"} if len(sys.argv) > 1 else {"trials": 25}
    found = raymm.tune(pipeline, SPACE, X=X, y=y, algorithm="gp", name="svm", **limit)
    best = ", ".join(f"{name} = {value:.3g}" for name, value in found.best_config.items())
    print(f"accuracy {found.best_value:.4f} at {best}")
