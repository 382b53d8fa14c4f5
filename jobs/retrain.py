"""ray job submit --working-dir . -- python jobs/retrain.py NAME DATA [--set key=value …]."""

import sys

from raymm.cli import main

if __name__ == "__main__":
    main(["retrain", *sys.argv[1:]])
