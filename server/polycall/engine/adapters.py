"""What a face lends to the code that it runs: hooks around it, and modules that it finds beside its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace

from polycall.domain import EgressPolicy, Language
from polycall.quick import dataclass
from polycall.sandbox.job import Bundle, Services

__all__ = ["NO_ADAPTER", "Adapter", "Asker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Whose run it is that asks: its project, and of a version its package; ``options`` are the adapter's for it."""

    project_id: str
    package_id: str = ""
    options: bytes = b"{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One face's part of a sandbox; trusted for nothing, as it shares the process of the code.

    ``hooks``: source of the Python module that stands between the conventions and the code (see
    ``polycall.sandbox.inside``). ``modules``: files by their path beside the code, by language; the code's own files
    come first. ``stand_ins``: more of them, in place of packages that a runtime would have; left out where there is
    one. ``egress``: the hosts that code reaches whose version names none. ``services`` makes what one run may ask of
    the server; only hooks can ask.
    """

    hooks: str | None = None
    modules: Mapping[Language, Mapping[str, bytes]] = field(default_factory=dict)
    stand_ins: Mapping[Language, Mapping[str, bytes]] = field(default_factory=dict)
    egress: EgressPolicy | None = None
    services: Callable[[Asker], Services] | None = None

    def serves(self, language: Language) -> bool:
        """Whether there is anything of it for a language."""
        return language in self.modules or (self.hooks is not None and language is Language.PYTHON)

    def hooks_for(self, language: Language) -> str | None:
        """Return the hooks, if the language has some."""
        return self.hooks if language is Language.PYTHON else None

    def services_for(self, asker: Asker, language: Language) -> Services | None:
        """Return what a run may ask of the server, if its code can."""
        return None if self.services is None or self.hooks_for(language) is None else self.services(asker)

    def beside(self, files: Mapping[str, bytes], language: Language, *, equipped: bool) -> Mapping[str, bytes]:
        """Return the files of a bundle with the modules that it finds beside its own; ``equipped``: with a runtime."""
        lent = self.modules.get(language, {})
        stand_ins = {} if equipped else self.stand_ins.get(language, {})
        return {**stand_ins, **lent, **files} if lent or stand_ins else files

    def lent_to(self, bundle: Bundle, language: Language, *, equipped: bool) -> Bundle:
        """Return a bundle with the modules beside it. Its digest stays: they are this server's, and never change."""
        return replace(bundle, files=self.beside(bundle.files, language, equipped=equipped))


NO_ADAPTER = Adapter()
