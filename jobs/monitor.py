"""ray job submit --working-dir . -- python jobs/monitor.py NAME DATA --url URL [--set key=value …].

Runs beside the service of NAME at URL until it is stopped, and trains on DATA when that is called
for. The service's token comes from RAYMM_TOKEN or --token; without --url it is the service that
this machine has a record of.
"""

import sys

from raymm.cli import main

if __name__ == "__main__":
    main(["keep", *sys.argv[1:]])
