"""ray job submit --working-dir . -- python jobs/monitor.py NAME DATA --url URL [--set key=value …].

Runs beside the service of NAME at URL until it is stopped, and trains on DATA when that is called
for. The service's token comes from RAYMM_TOKEN, which a job has not from your shell: give it by
--runtime-env-json '{"env_vars": {"RAYMM_TOKEN": "…"}}', as --token shows in the job's entrypoint.
Without --url it is the service that this machine has a record of.
"""

import sys

from raymm.cli import main

if __name__ == "__main__":
    main(["keep", *sys.argv[1:]])
