"""`python -m signer` is `mesh-signer`."""

import sys

from signer.cli import main

sys.exit(main())
