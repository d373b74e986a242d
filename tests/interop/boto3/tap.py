"""Runs the functions marked with @check one after the other and says in TAP how each went: "ok 1 - its_name"."""
import sys
import traceback

CHECKS = []


class Skipped(Exception):
    """Raised by a check that cannot be made here, with the reason."""


def check(function):
    CHECKS.append(function)
    return function


def run():
    failed = 0
    print(f"1..{len(CHECKS)}", flush=True)
    for number, function in enumerate(CHECKS, 1):
        name = function.__name__
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skipped as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}")
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
    sys.exit(failed > 0)
