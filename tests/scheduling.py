"""Which tests are run by one worker of several: those of a module, and of modules that share what only they start."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

__all__ = ["TOGETHER", "ModuleScheduling"]

TOGETHER = {
    # a server that has little to give: the fixture ``little`` of tests/contracts
    "little": (
        "tests/contracts/cognite/test_cognite_contract.py",
        "tests/contracts/domo/test_domo_busy.py",
        "tests/contracts/guance/test_guance_busy.py",
        "tests/contracts/guance/test_guance_dff.py",
        "tests/contracts/riza/test_riza_busy.py",
        "tests/contracts/test_storage.py",
        "tests/contracts/xpander/test_xpander_bad_input.py",
        "tests/contracts/xpander/test_xpander_tools.py",
    ),
    # a server with everything that a Domo administrator may set
    "configured": (
        "tests/contracts/domo/test_domo_apps.py",
        "tests/contracts/domo/test_domo_codeengine.py",
    ),
    # an installation as in the image, and its server
    "installed": (
        "tests/deploy/test_image.py",
        "tests/deploy/test_metrics.py",
    ),
}
_UNIT = {module: fixture for fixture, modules in TOGETHER.items() for module in modules}


class ModuleScheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Give out whole modules, in the order of their paths.

    Tests that are dealt one by one, each to the worker that is free, have every worker start every module's servers,
    gateways and sandboxes for itself. ``xdist_group`` is not used: as of pytest 9.2, xdist 3.8 does not see it.
    """

    def _split_scope(self, nodeid: str) -> str:
        """Return what a test is given out with. It is what xdist has subclasses override."""
        module: str = super()._split_scope(nodeid)
        return _UNIT.get(module, module)
