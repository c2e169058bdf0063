"""What this face lends to the code that it runs: modules, and what each run is told."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from importlib import resources
from typing import Any

from polycall.domain import EgressPolicy, Function, Language, Package, Principal, Version
from polycall.engine.adapters import Adapter
from polycall.engine.secrets import Secrets
from polycall.faces.domo.accounts import mapped_accounts, opened_accounts
from polycall.faces.domo.kept import KeptVersion
from polycall.faces.domo.operator import DomoSettings
from polycall.faces.times import iso_millis
from polycall.faces.wire import dump

__all__ = ["Lending", "adapter"]

_INSIDE = "polycall.faces.domo.inside"


def adapter(egress: EgressPolicy | None) -> Adapter:
    """Return what every run gets. ``egress``: the hosts that code reaches whose version names none."""
    script = {
        "node_modules/codeengine/index.js": _source("codeengine.js"),
        "node_modules/codeengine/axios.js": _source("axios.js"),
    }
    axios = {"node_modules/axios/index.js": b'module.exports = require("../codeengine/axios.js");\n'}
    return Adapter(
        hooks=_source("hooks.py").decode(),
        modules={
            Language.PYTHON: {"codeengine.py": _source("codeengine.py")},
            Language.JAVASCRIPT: script,
            Language.TYPESCRIPT: script,
        },
        stand_ins={Language.JAVASCRIPT: axios, Language.TYPESCRIPT: axios},
        egress=egress,
    )


class Lending:
    """Tells runs who they are, and opens the accounts that their version maps."""

    def __init__(self, secrets: Secrets, settings: DomoSettings) -> None:
        self._secrets = secrets
        self._settings = settings

    async def told(
        self,
        who: Principal,
        execution_id: uuid.UUID,
        package: Package,
        version: Version,
        kept: KeptVersion | None,
        function: Function,
        now_ms: int,
    ) -> bytes:
        """Return what one run is told, JSON."""
        project = self._settings.of(who.project_id)
        told: dict[str, Any] = {
            "ignoreUnknown": True,  # inputs that JavaScript has no name for; Python's are known before
            "execution": {
                "executionId": str(execution_id),
                "packageId": package.id,
                "version": version.id,
                "functionName": function.name,
                "startedBy": who.user_id,
                "startedOn": iso_millis(now_ms),
            },
        }
        optional: Mapping[str, Any] = {
            "accounts": await self._accounts(who, kept),
            "people": project.people,
            "instance": project.instance,
        }
        return dump(told | {name: value for name, value in optional.items() if value})

    async def _accounts(self, who: Principal, kept: KeptVersion | None) -> list[dict[str, Any]]:
        if kept is None:
            return []
        mapped = mapped_accounts((*kept.configuration.accounts_mapping, *kept.aliases))
        return await opened_accounts(self._secrets, who.project_id, mapped)


def _source(name: str) -> bytes:
    return resources.files(_INSIDE).joinpath(name).read_bytes()
