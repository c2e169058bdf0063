"""A Guance Func script: functions with `@DFF.API` can be called, by keyword."""


@DFF.API("Hello world", category="openapi")
def hello_world(name):
    DFF.LOG(f"greeting {name}")
    return f"Hello, {name}"


@DFF.API("Test", category="openapi")
def test(workspace_token=None, workspace_uuid=None, your_name="OpenAPI User"):  # noqa: PT028  the contract names it so
    """Greet by name; a name that is not text fails, as it would in a key of a cache."""
    for value in (workspace_token, workspace_uuid, your_name):
        if isinstance(value, dict):
            raise TypeError("Invalid input of type: 'dict'. Convert to a bytes, string, int or float first.")
    return f"Hello, {your_name}"
