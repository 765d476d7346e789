"""python runner.py: serve hooks.yaml. python runner.py --help: what else there is."""

import gc
import sys

if sys.version_info < (3, 11):  # noqa: UP036 (an older Python is to be told so)
    sys.exit("hookrunner needs Python 3.11 or newer; this is " + sys.version.split()[0])

# Nothing of what is imported is ever garbage; looking for it would take a tenth of the start.
gc.disable()

from hookrunner.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
