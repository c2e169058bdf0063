"""Generate the stubs, the descriptor set and nothing else; `--check` fails if what is committed is stale.

One script calling protoc beats two tools: buf has no built-in for grpc_python. `google.*` is not generated:
googleapis-common-protos ships it.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "server"
DESCRIPTORS = ROOT / "gateway" / "polycall_gateway" / "descriptors.pb"
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")
# Imported by nothing of ours, and needed by the gateway: it prints only those error details whose type it knows.
ERRORS = ("google/rpc/error_details.proto", "google/rpc/status.proto")


def generate(stubs: Path, descriptors: Path) -> None:
    """Write the stubs below `stubs` and the descriptor set (imports in, source info out) to `descriptors`."""
    files = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "polycall").rglob("*.proto"))
    include = str(resources.files("grpc_tools") / "_proto")
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{include}"]
    out = [f"--python_out={stubs}", f"--pyi_out={stubs}", f"--grpc_python_out={stubs}"]
    subprocess.run([*protoc, *out, *files], check=True)
    subprocess.run([*protoc, "--include_imports", f"--descriptor_set_out={descriptors}", *ERRORS, *files], check=True)
    for path in stubs.rglob("*_pb2.py"):
        (path.parent / "__init__.py").write_text('"""Generated from protos; do not edit."""\n')


def stale(stubs: Path, descriptors: Path) -> list[str]:
    """Return the committed files that differ from a fresh generation, are missing or are left over."""
    fresh = {p.relative_to(stubs) for p in stubs.rglob("*") if p.name.endswith(SUFFIXES)}
    kept = {p.relative_to(STUBS) for p in STUBS.rglob("*") if p.name.endswith(SUFFIXES)}
    wrong = [str(p) for p in sorted(fresh ^ kept)]
    wrong += [str(p) for p in sorted(fresh & kept) if not filecmp.cmp(stubs / p, STUBS / p, shallow=False)]
    if not DESCRIPTORS.exists() or not filecmp.cmp(descriptors, DESCRIPTORS, shallow=False):
        wrong.append(str(DESCRIPTORS.relative_to(ROOT)))
    return wrong


def main() -> int:
    """Generate, or check."""
    check = "--check" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        stubs, descriptors = Path(scratch) / "stubs", Path(scratch) / "descriptors.pb"
        stubs.mkdir()
        generate(stubs, descriptors)
        if check:
            wrong = stale(stubs, descriptors)
            for path in wrong:
                print(f"stale: {path}; run `make proto`", file=sys.stderr)
            return 1 if wrong else 0
        for old in STUBS.rglob("*"):
            if old.name.endswith(SUFFIXES):
                old.unlink()
        shutil.copytree(stubs, STUBS, dirs_exist_ok=True)
        shutil.copy(descriptors, DESCRIPTORS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
