"""Make `.venv` with everything the project needs. Runs on a bare Python 3.11+ with pip."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
MINIMUM = (3, 11)


def main() -> int:
    """Create the virtual environment and install polycall into it, editable, with its test tools."""
    if sys.version_info < MINIMUM:
        print(
            f"polycall needs Python {MINIMUM[0]}.{MINIMUM[1]} or newer; this is {sys.version.split()[0]}.",
            file=sys.stderr,
        )
        return 1
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        # links, as `python -m venv` has it: a copied binary may find another interpreter's libraries
        venv.create(ENVIRONMENT, with_pip=True, symlinks=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if status := subprocess.run([*install, "--editable", f"{ROOT}[dev]"]).returncode:
        return status
    # pip compiles what it copies; without this the first start would, and every one where Python may not write it
    ours = [str(ROOT / "server"), str(ROOT / "gateway")]
    return subprocess.run([str(python), "-m", "compileall", "-q", *ours]).returncode


if __name__ == "__main__":
    raise SystemExit(main())
