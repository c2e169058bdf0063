"""The log of a build: all of it, or its two ends and a word on the middle."""

from __future__ import annotations

from polycall.engine.buildlog import BuildLog


def test_what_was_written_comes_back_as_text() -> None:
    log = BuildLog()
    for piece in (b"caf\xc3", b"\xa9\n", b"\xff\0no newline"):
        log.write(piece)
    log.say("done")
    assert log.text() == "café\n\ufffd\ufffdno newline\ndone\n"
    assert not log.truncated


def test_of_a_long_one_the_ends_are_kept_and_the_cut_is_named() -> None:
    log = BuildLog()
    for number in range(100_000):
        log.write(b"%09d\n" % number)
    text = log.text()
    assert log.truncated
    assert text.startswith("000000000\n000000001\n")
    assert text.endswith("000099999\n")
    assert f"[{1_000_000 - (256 << 10)} characters of the log were left out here]" in text
    assert len(text) < (256 << 10) + 100
