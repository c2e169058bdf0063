"""What a face lends: beside the code's own files, never in their place; stand-ins only where there is no runtime."""

from __future__ import annotations

from polycall.domain import Language
from polycall.engine.adapters import NO_ADAPTER, Adapter
from polycall.sandbox.job import Bundle

PYTHON, JAVASCRIPT, TYPESCRIPT = Language.PYTHON, Language.JAVASCRIPT, Language.TYPESCRIPT
OWN = {"main.js": b"own", "lent.js": b"own, too"}
FACE = Adapter(
    hooks="hooks",
    modules={JAVASCRIPT: {"lent.js": b"lent", "more.js": b"more"}},
    stand_ins={JAVASCRIPT: {"stand-in.js": b"stands in"}},
)


def test_the_codes_own_files_come_first() -> None:
    assert FACE.beside(OWN, JAVASCRIPT, equipped=True) == {**OWN, "more.js": b"more"}
    assert FACE.beside(OWN, PYTHON, equipped=False) is OWN
    assert NO_ADAPTER.beside(OWN, JAVASCRIPT, equipped=False) is OWN


def test_what_a_runtime_would_have_is_lent_where_there_is_none() -> None:
    assert FACE.beside(OWN, JAVASCRIPT, equipped=False) == {**OWN, "more.js": b"more", "stand-in.js": b"stands in"}
    bundle = FACE.lent_to(Bundle(digest="d", files=OWN), JAVASCRIPT, equipped=True)
    assert bundle == Bundle(digest="d", files={**OWN, "more.js": b"more"})


def test_hooks_are_pythons() -> None:
    assert [FACE.hooks_for(language) for language in (PYTHON, JAVASCRIPT, TYPESCRIPT)] == ["hooks", None, None]
    assert [FACE.serves(language) for language in (PYTHON, JAVASCRIPT, TYPESCRIPT)] == [True, True, False]
