"""ray job submit --working-dir . -- python jobs/deploy.py NAME [--set serving.port=8000 …]."""

import sys

from raymm.cli import main

if __name__ == "__main__":
    main(["deploy", *sys.argv[1:]])
