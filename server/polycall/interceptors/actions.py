"""Which methods change something, and what the audit log calls that. All others read, or run code.

Runs have a record of their own, with who asked for them. A test goes through the descriptors: a method that is in
neither of its lists fails there.
"""

from __future__ import annotations

from collections.abc import Mapping

from polycall.quick import dataclass

__all__ = ["ACTIONS", "Action"]


@dataclass(frozen=True, slots=True)
class Action:
    """What is done. ``many``: to several things at once, each of which has an event."""

    name: str
    many: bool = False


_NATIVE = {
    "PackageService/CreatePackage": Action("package.create"),
    "PackageService/UpdatePackage": Action("package.update"),
    "PackageService/DeletePackage": Action("package.delete"),
    "PackageService/CreateVersion": Action("version.create"),
    "PackageService/ReleaseVersion": Action("version.release"),
    "PackageService/DeleteVersion": Action("version.delete"),
    "RuntimeService/CreateRuntime": Action("runtime.create"),
    "RuntimeService/CreateRuntimeRevision": Action("runtime_revision.create"),
    "RuntimeService/DeleteRuntime": Action("runtime.delete"),
    "ScheduleService/CreateSchedule": Action("schedule.create"),
    "ScheduleService/UpdateSchedule": Action("schedule.update"),
    "ScheduleService/DeleteSchedule": Action("schedule.delete"),
    "ScheduleService/PauseSchedule": Action("schedule.pause"),
    "ScheduleService/ResumeSchedule": Action("schedule.resume"),
    "SecretService/CreateSecret": Action("secret.create"),
    "SecretService/UpdateSecret": Action("secret.update"),
    "SecretService/DeleteSecret": Action("secret.delete"),
    "SecretService/ResealSecrets": Action("encryption_key.rotate"),
    "KeyService/CreateApiKey": Action("key.create"),
    "KeyService/RevokeApiKey": Action("key.revoke"),
    "TenancyService/CreateProject": Action("project.create"),
    "TenancyService/UpdateProject": Action("project.update"),
    "PolicyService/UpdateFunctionPolicy": Action("policy.update"),
    "TenancyService/CreateApiKey": Action("key.create"),
    "TenancyService/RevokeApiKey": Action("key.revoke"),
    "WebhookService/RedeliverWebhook": Action("webhook.redeliver"),
    "WebhookService/RotateSigningSecret": Action("signing_secret.rotate"),
    "AuditService/ExportAuditEvents": Action("audit.export"),
    "ExecutionService/CancelExecution": Action("execution.cancel"),
}
_FACES = {
    "cognite": {
        "CogniteService/CreateSessions": Action("session.create", many=True),
        "CogniteSessionService/RevokeSessions": Action("session.revoke"),
        "CogniteLoginService/CreateToken": Action("token.create"),
        "CogniteFileService/CreateFile": Action("file.create"),
        "CogniteFileService/UploadFile": Action("file.upload"),
        "CogniteFileService/DeleteFiles": Action("file.delete", many=True),
        "CogniteFunctionService/CreateFunctions": Action("function.create"),
        "CogniteFunctionService/DeleteFunctions": Action("function.delete", many=True),
        "CogniteScheduleService/CreateSchedules": Action("schedule.create"),
        "CogniteScheduleService/DeleteSchedules": Action("schedule.delete", many=True),
    },
    "domo": {
        "DomoPackageService/SavePackage": Action("package.save"),
        "DomoPackageService/DeletePackage": Action("package.delete"),
        "DomoPackageService/UpdateVersion": Action("version.update"),
        "DomoPackageService/ReleaseVersion": Action("version.release"),
        "DomoPackageService/SharePackage": Action("package.share"),
        "DomoPackageService/SetPermissions": Action("package.set_permissions"),
    },
    "guance": {
        "GuanceScriptService/SignIn": Action("token.create"),
        "GuanceScriptService/AddScriptSet": Action("script_set.create"),
        "GuanceScriptService/ModifyScriptSet": Action("script_set.update"),
        "GuanceScriptService/DeleteScriptSet": Action("script_set.delete"),
        "GuanceScriptService/AddScript": Action("script.create"),
        "GuanceScriptService/ModifyScript": Action("script.update"),
        "GuanceScriptService/DeleteScript": Action("script.delete"),
        "GuanceScriptService/PublishScript": Action("script.publish"),
        "GuanceAuthLinkService/AddAuthLink": Action("auth_link.create"),
        "GuanceAuthLinkService/ModifyAuthLink": Action("auth_link.update"),
        "GuanceAuthLinkService/DeleteAuthLink": Action("auth_link.delete"),
    },
    "riza": {
        "RuntimesService/CreateRuntime": Action("runtime.create"),
        "RuntimesService/CreateRevision": Action("runtime_revision.create"),
        "RuntimesService/DeleteRuntime": Action("runtime.delete"),
        "SecretsService/CreateSecret": Action("secret.create"),
        "SecretsService/DeleteSecret": Action("secret.delete"),
        "ToolsService/CreateTool": Action("tool.create"),
        "ToolsService/UpdateTool": Action("tool.update"),
        "ToolsService/DeleteTool": Action("tool.delete"),
    },
    "xpander": {
        "XpanderService/CreateCustomFunction": Action("function.create"),
        "XpanderService/UpdateCustomFunction": Action("function.update"),
        "XpanderService/DeleteCustomFunction": Action("function.delete"),
    },
}

# by the full method: /polycall.v1.KeyService/RevokeApiKey
ACTIONS: Mapping[str, Action] = {
    **{f"/polycall.v1.{method}": action for method, action in _NATIVE.items()},
    **{
        f"/polycall.faces.{face}.v1.{method}": action
        for face, methods in _FACES.items()
        for method, action in methods.items()
    },
}
