"""Riza's services and what serves each."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.descriptor import ServiceDescriptor

from polycall.engine.engine import Engine
from polycall.engine.limits import MIB
from polycall.faces.reply import Face
from polycall.faces.riza.commands_face import CommandsFace
from polycall.faces.riza.executions_face import ExecutionsFace
from polycall.faces.riza.records import Records
from polycall.faces.riza.requests import Bounds
from polycall.faces.riza.runs import Runs
from polycall.faces.riza.runtimes_face import RuntimesFace
from polycall.faces.riza.secrets_face import SecretsFace
from polycall.faces.riza.tools_face import ToolsFace
from polycall.faces.riza.v1 import executions_pb2, riza_pb2, runtimes_pb2, secrets_pb2, tools_pb2
from polycall.sealing import Sealer

__all__ = ["riza_faces"]


def riza_faces(
    engine: Engine, sealer: Sealer, *, max_timeout_s: int = 300, max_memory_mib: int = 2048
) -> Sequence[tuple[ServiceDescriptor, Face]]:
    """Return the services of Riza's contract over the engine.

    ``max_timeout_s`` and ``max_memory_mib`` are the most that a request may ask for, as far as the engine allows it.
    """
    most, least = engine.limits.maximums, engine.limits.minimums
    bounds = Bounds(
        max_timeout_s=min(max_timeout_s, most.timeout_ms // 1000),
        min_memory_mib=least.memory_bytes // MIB,
        max_memory_mib=min(max_memory_mib, most.memory_bytes // MIB),
    )
    records = Records(sealer)
    runs = Runs(engine, records)
    return (
        (riza_pb2.DESCRIPTOR.services_by_name["RizaService"], CommandsFace(engine, runs, bounds)),
        (tools_pb2.DESCRIPTOR.services_by_name["ToolsService"], ToolsFace(engine, runs, bounds)),
        (secrets_pb2.DESCRIPTOR.services_by_name["SecretsService"], SecretsFace(engine)),
        (runtimes_pb2.DESCRIPTOR.services_by_name["RuntimesService"], RuntimesFace(engine)),
        (executions_pb2.DESCRIPTOR.services_by_name["ExecutionsService"], ExecutionsFace(engine, records)),
    )
