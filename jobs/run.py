"""ray job submit --working-dir . -- python jobs/run.py FILE.yaml [--set key=value …]."""

import sys

from raymm.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
