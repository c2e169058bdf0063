from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall_gateway.errors import InvalidConfig
from polycall_gateway.templates import Template

LITERALS = st.from_regex(r"[A-Za-z0-9._~\-]{1,8}", fullmatch=True)
SEGMENTS = st.lists(st.one_of(LITERALS, st.just("*")), min_size=1, max_size=6)
VALUES = st.text(st.characters(exclude_characters="/\n", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("text", "regex"),
    [
        ("/v1/execute-function", "^/v1/execute-function$"),
        ("/v1/tools/{id}", "^/v1/tools/[^/]+$"),
        ("/polycall/v1/{name=executions/*}:cancel", "^/polycall/v1/executions/[^/]+:cancel$"),
        ("/polycall/v1/{package.name=packages/*}", "^/polycall/v1/packages/[^/]+$"),
        ("/polycall/v1/executions:execute", "^/polycall/v1/executions:execute$"),
        ("/files/{path=**}", "^/files/.*$"),
        ("/v1.0/a", r"^/v1\.0/a$"),
    ],
)
def test_a_template_becomes_a_regex_of_the_whole_path(text: str, regex: str) -> None:
    assert Template.parse(text).regex == regex


@pytest.mark.parametrize("text", ["", "v1/a", "/", "/a/", "/a//b", "/a/{b", "/a/x{b}", "/a b", "/a:", "/a/{B}", "/a?b"])
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfig, match="is not a path template"):
        Template.parse(text)


@given(SEGMENTS, st.data())
def test_a_template_matches_what_it_was_filled_with(segments: list[str], data: st.DataObject) -> None:
    template = Template.parse("/" + "/".join(segments))
    filled = [data.draw(VALUES) if segment == "*" else segment for segment in segments]
    assert re.search(template.regex, "/" + "/".join(filled))


@given(SEGMENTS, st.integers(0), VALUES)
def test_a_template_matches_nothing_with_another_literal_or_length(segments: list[str], at: int, other: str) -> None:
    regex = Template.parse("/" + "/".join(segments)).regex
    assert not re.search(regex, "/" + "/".join([*segments, "more"]))
    changed = list(segments)
    changed[at % len(changed)] = other
    matches = all(mine in ("*", its) for mine, its in zip(segments, changed, strict=True))
    assert bool(re.search(regex, "/" + "/".join(changed))) == matches


def test_literals_are_tried_before_variables_and_verbs_before_all() -> None:
    texts = ["/f/{id}", "/f/{id}/calls", "/f/list", "/f/{id}:run", "/{rest=**}"]
    ranked = sorted(map(Template.parse, texts), key=lambda template: template.rank)
    regexes = [template.regex for template in ranked]
    assert regexes.index("^/f/list$") < regexes.index("^/f/[^/]+$") < regexes.index("^/.*$")
    assert regexes[0] == "^/f/[^/]+:run$"
