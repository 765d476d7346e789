"""python runner.py: serve hooks.yaml. python runner.py --help: what else there is."""

import sys

from hookrunner.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
