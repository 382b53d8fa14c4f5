"""ray job submit --working-dir . -- python jobs/monitor.py NAME DATA [--set key=value …].

Runs beside the service of NAME until it is stopped, and trains on DATA when that is called for.
"""

import sys

from raymm.cli import main

if __name__ == "__main__":
    main(["keep", *sys.argv[1:]])
