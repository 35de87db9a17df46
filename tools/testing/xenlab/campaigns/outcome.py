# SPDX-License-Identifier: GPL-2.0-only
"""How a command ends: what it says, and its exit status."""

import sys
from collections.abc import Sequence

from lab import ktap
from lab.failure import Failure, Status


def complain(failure: Failure) -> None:
    """Says what failed, after its evidence."""
    sys.stdout.flush()
    for line in failure.evidence:
        print(f"  | {line}", file=sys.stderr)
    print(f"xenlab: {failure}", file=sys.stderr)


def close(counts: ktap.Counts, failures: Sequence[Failure]) -> int:
    """Ends a check: evidence, failures, counts; the first failure's status."""
    for failure in failures:
        complain(failure)
    sys.stderr.flush()
    print(counts, flush=True)
    if failures and failures[0].status is not Status.COMMAND:
        return failures[0].status
    return Status.COMMAND if counts.failed or not counts.passed else Status.GOOD
