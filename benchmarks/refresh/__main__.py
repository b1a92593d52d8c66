"""What a refresh costs, and what it survives.

    python -m benchmarks.refresh nothing-new [--work DIR] [--rounds 5]
    python -m benchmarks.refresh kills [--rounds 20] [--seed 7]
    python -m benchmarks.refresh failures [--work DIR]
    python -m benchmarks.refresh diagnose [--rounds 5]

From the root of the repository.
"""

from __future__ import annotations

import argparse

from benchmarks.refresh import diagnose, failures, kills, nothing_new

COMMANDS = {"nothing-new": nothing_new, "kills": kills, "failures": failures, "diagnose": diagnose}


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refresh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        module.configure(commands.add_parser(name, description=module.__doc__))
    options = parser.parse_args()
    COMMANDS[options.command].measure(options)


if __name__ == "__main__":
    main()
