"""ray job submit --working-dir . -- python jobs/retrain.py NAME DATA [--set key=value …].

Trains in the job; NAME --trial instead asks the running jobs/monitor.py to train and to try it.
"""

import sys

from raymm.cli import main

if __name__ == "__main__":
    main(["retrain", *sys.argv[1:]])
