"""polycall.v1.PolicyService."""

from __future__ import annotations

from polycall.engine.engine import Engine
from polycall.interceptors.rpc import Rpc
from polycall.names import PolicyName
from polycall.services.policy_messages import masked, policy_message, read_retry
from polycall.services.scalars import page_size
from polycall.services.violations import Violations
from polycall.store.protocol import PolicyChange
from polycall.v1 import policy_pb2, policy_service_pb2, policy_service_pb2_grpc

__all__ = ["PolicyService"]

_CHANGEABLE = ("max_running", "retry_policy")


class PolicyService(policy_service_pb2_grpc.PolicyServiceServicer):
    """Keeps what holds for the Calls of functions."""

    def __init__(self, engine: Engine) -> None:
        self._policies = engine.policies

    async def GetFunctionPolicy(
        self, request: policy_service_pb2.GetFunctionPolicyRequest, rpc: Rpc
    ) -> policy_pb2.FunctionPolicy:
        """Return the policy of a function."""
        name = PolicyName.parse(request.name)
        return policy_message(await self._policies.get(rpc.who, name.package, name.function))

    async def ListFunctionPolicies(
        self, request: policy_service_pb2.ListFunctionPoliciesRequest, rpc: Rpc
    ) -> policy_service_pb2.ListFunctionPoliciesResponse:
        """List the policies that say something."""
        wrong = Violations()
        size = page_size(request.page_size, wrong)
        wrong.refuse()
        page = await self._policies.list(rpc.who, size, request.page_token)
        return policy_service_pb2.ListFunctionPoliciesResponse(
            policies=[policy_message(policy, counted=False) for policy in page.items],
            next_page_token=page.next_token,
        )

    async def UpdateFunctionPolicy(
        self, request: policy_service_pb2.UpdateFunctionPolicyRequest, rpc: Rpc
    ) -> policy_pb2.FunctionPolicy:
        """Change the policy of a function."""
        wrong = Violations()
        message = request.policy
        name = wrong.attempt(lambda: PolicyName.parse(message.name, "policy.name"))
        present = [field.name for field, _ in message.ListFields()]
        fields = masked(request.update_mask.paths, _CHANGEABLE, present, wrong)
        change = PolicyChange()
        if "max_running" in fields:
            change["max_running"] = message.max_running if message.HasField("max_running") else None
        if "retry_policy" in fields:
            given = message.HasField("retry_policy")
            change["retry"] = read_retry(message.retry_policy, "policy.retry_policy", wrong) if given else None
        if wrong or name is None:
            raise wrong.error()
        policy = await self._policies.update(
            rpc.who, name.package, name.function, change, validate_only=request.validate_only
        )
        return policy_message(policy)
