"""ray job submit --working-dir . -- python jobs/tune.py MODULE:FUNCTION SPACE.yaml […]."""

import sys

from raymm.cli import main

if __name__ == "__main__":
    main(["tune", *sys.argv[1:]])
