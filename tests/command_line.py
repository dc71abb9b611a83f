"""`archsmith WORDS` in the test's own process."""

from __future__ import annotations

import sys

import pytest

from archsmith.cli.app import main


def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `archsmith WORDS`, in this process."""
    monkeypatch.setattr(sys, "argv", ["archsmith", *words])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err
