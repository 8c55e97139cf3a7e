"""`python -m pytest_autoresearch`: the command line."""

from __future__ import annotations

import sys

from pytest_autoresearch.cli import main

sys.exit(main())
