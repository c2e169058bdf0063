from __future__ import annotations

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

from polycall_gateway import Contract, GatewayConfig, InvalidConfig, render
from polycall_gateway.routes import territory


def contract(package: str, *paths: str, kind: str = "post") -> Contract:
    """Return a contract with one service whose methods M0, M1, … are bound to ``paths``."""
    service = descriptor_pb2.ServiceDescriptorProto(name="Service")
    for number, path in enumerate(paths):
        method = service.method.add(name=f"M{number}")
        rule = http_pb2.HttpRule(**{kind: path}) if kind != "custom" else http_pb2.HttpRule(custom={"kind": "HEAD"})
        method.options.Extensions[annotations_pb2.http].CopyFrom(rule)
    file = descriptor_pb2.FileDescriptorProto(name="a.proto", package=package, service=[service])
    return Contract(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())


def test_a_binding_says_all_that_a_route_needs() -> None:
    [binding] = contract("polycall.faces.riza.v1", "/v1/tools/{id}").bindings
    assert (binding.face, binding.service, binding.rpc) == ("riza", "polycall.faces.riza.v1.Service", "M0")
    assert (binding.verb, binding.template.regex, binding.streams) == ("POST", "^/v1/tools/[^/]+$", False)
    assert binding.name == "riza.M0"


def test_packages_that_are_not_ours_are_left_alone() -> None:
    assert contract("google.longrunning", "/v1/{name}").bindings == ()


def test_two_methods_on_one_path_are_refused() -> None:
    clash = contract("polycall.faces.riza.v1", "/v1/tools/{id}", "/v1/tools/{tool_id}")
    with pytest.raises(InvalidConfig, match=r"riza\.M0 and riza\.M1 are both bound to POST"):
        render(GatewayConfig(), clash)


@pytest.mark.parametrize("kind", ["custom"])
def test_a_method_that_envoy_cannot_transcode_is_refused(kind: str) -> None:
    with pytest.raises(InvalidConfig, match="has no HTTP binding that Envoy can transcode: custom"):
        render(GatewayConfig(), contract("polycall.faces.riza.v1", "/v1/x", kind=kind))


def test_a_deprecated_method_may_have_left_its_path_to_another() -> None:
    made = descriptor_pb2.FileDescriptorSet.FromString(contract("polycall.v1", "/polycall/v1/x").descriptors)
    old = made.file[0].service[0].method.add(name="Old")
    with pytest.raises(InvalidConfig, match=r"Service\.Old has no HTTP binding that Envoy can transcode: None"):
        _ = Contract(made.SerializeToString()).bindings
    old.options.deprecated = True
    assert [binding.rpc for binding in Contract(made.SerializeToString()).bindings] == ["M0"]


def test_a_face_without_words_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"the face acme has no words yet .* add it to vendors\.py"):
        render(GatewayConfig(), contract("polycall.faces.acme.v1", "/acme/x"))


def test_a_binding_outside_its_vendors_claims_takes_its_path_along() -> None:
    bindings = contract("polycall.faces.cognite.v1", "/api/v1/files/{id}", "/api/v1/projects/{p}/x").bindings
    places = territory(bindings, {"cognite": ("/api/v1/projects",), "guance": ("/api",)})
    assert places == [("/api/v1/projects", "cognite"), ("/api/v1/files", "cognite"), ("/api", "guance")]
