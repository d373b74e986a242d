"""moto's own tests of SQS (its tests/test_sqs, in server mode) against fanout-local, told in TAP.

    suite.py FOLDER         moto's source distribution, unpacked

The file `exceptions` beside this one names the tests that cannot pass here, and whole files of them that are not run,
each with the reason. One of them that passes, or that there is no more, is a failure, too: it is to be taken off the
list."""
import os
import pathlib
import sys
import types
import urllib.request

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
os.environ.update(TEST_SERVER_MODE="true", TEST_SERVER_MODE_ENDPOINT=ENDPOINT, MOTO_CALL_RESET_API="false")

import botocore.handlers
import pytest

ACCOUNT = "123456789012"


def read_exceptions():
    lines = (pathlib.Path(__file__).parent / "exceptions").read_text().splitlines()
    pairs = (line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)


def answer_for_sts(**_):
    """Some tests ask whose account it is, and there is no STS here."""
    return types.SimpleNamespace(status_code=200), {"Account": ACCOUNT}


botocore.handlers.BUILTIN_HANDLERS.append(("before-call.sts.GetCallerIdentity", answer_for_sts))


class Tap:
    """A plugin of pytest's: a fresh server for each test, a line for each that ran."""

    def __init__(self):
        self.exceptions, self.ignored, self.number, self.failed = read_exceptions(), set(), 0, 0

    def say(self, ok, name, rest=""):
        self.number += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.number} - {name}{rest}", flush=True)

    def name_of(self, nodeid):
        return nodeid.removeprefix("tests/test_sqs/")

    def pytest_ignore_collect(self, collection_path):
        if collection_path.name in self.exceptions:
            self.ignored.add(collection_path.name)
            return True

    def pytest_collectreport(self, report):
        if report.failed:
            self.say(False, f"collecting {report.nodeid}", "\n# " + report.longreprtext.replace("\n", "\n# "))

    def pytest_collection_finish(self, session):
        self.unknown = set(self.exceptions) - self.ignored - {self.name_of(item.nodeid) for item in session.items}
        print(f"1..{self.number + len(self.ignored) + len(session.items) + 1}", flush=True)
        for name in sorted(self.ignored):
            self.say(True, name, f" # SKIP {self.exceptions[name]}")

    def pytest_runtest_setup(self, item):
        urllib.request.urlopen(urllib.request.Request(ENDPOINT + "/_fanout/reset", method="POST")).close()

    def pytest_runtest_logreport(self, report):
        if report.when != "call" and report.passed:
            return
        name, listed = self.name_of(report.nodeid), self.exceptions.get(self.name_of(report.nodeid))
        if listed and not report.failed:
            self.say(False, name, f"\n# it is {report.outcome} and so no exception any more: take it off the list")
        elif listed or report.skipped:
            self.say(True, name, f" # SKIP {listed or 'by moto itself: ' + report.longrepr[2].splitlines()[0]}")
        else:
            said = "" if report.passed else report.longreprtext[-3000:]
            self.say(report.passed, name, "".join(f"\n# {line}" for line in said.splitlines()))

    def pytest_sessionfinish(self):
        self.say(not self.unknown, "every_exception_is_a_test", "".join(f"\n# {name}" for name in sorted(self.unknown)))


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    sys.path.insert(0, os.getcwd())
    tap = Tap()
    pytest.main(["-c", os.devnull, "--rootdir", ".", "-p", "no:terminal", "-p", "no:cacheprovider", "tests/test_sqs"],
                plugins=[tap])
    sys.exit(tap.failed > 0)
