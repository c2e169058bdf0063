"""What a large argument costs the serving process."""

from __future__ import annotations

import json
import time

import grpc

from bench.contestants import Polycall
from bench.machine import serving_cpu_s
from bench.rounds import Recorder
from polycall.v1 import execution_service_pb2, execution_service_pb2_grpc

__all__ = ["LARGE", "SMALL", "payload"]

SMALL, LARGE = "1 KiB", "1 MiB"
_SIZES = {SMALL: 1 << 10, LARGE: 1 << 20}
_ECHO = "packages/bench-echo/functions/size"


def payload(recorder: Recorder, ours: Polycall) -> None:
    """Measure the server's CPU for RunFunction with arguments of both sizes, in turn."""
    ours.server.deploy("bench-echo", {"main.py": "def size(text):\n    return len(text)\n"})
    spent = dict.fromkeys(_SIZES, 0.0)
    calls = max(5, round(recorder.effort.seconds * 10))
    with grpc.insecure_channel(ours.server.grpc, [("grpc.max_send_message_length", 4 << 20)]) as channel:
        stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)
        for turn in range(-3, calls):  # the first ones warm up
            for name, size in _SIZES.items():
                request = execution_service_pb2.RunFunctionRequest(
                    function=_ECHO, input_json=json.dumps({"text": "x" * (size - len('{"text": ""}'))})
                )
                before = serving_cpu_s(ours.pid)
                answer = stub.RunFunction(request, metadata=ours.server.metadata)
                assert answer.output_json == str(size - len('{"text": ""}')), answer
                time.sleep(0.005)  # what is left to do after the answer is part of it
                if turn >= 0:
                    spent[name] += serving_cpu_s(ours.pid) - before
    for name, seconds in spent.items():
        recorder.value("polycall RunFunction, server CPU", name, seconds / calls * 1000, "ms")
