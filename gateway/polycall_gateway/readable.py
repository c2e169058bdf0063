"""YAML for readers: of short things a line, of texts their lines."""

from __future__ import annotations

import yaml

__all__ = ["dump"]


class _Dumper(yaml.SafeDumper):
    """Writes every value where it stands. Not libyaml's: that one folds lines elsewhere, and may not be there."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def dump(document: object) -> str:
    """Write a document as YAML, short things on one line."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120)
    return text
