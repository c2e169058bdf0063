"""An xpander.ai custom function: the body's members are its parameters, the return value is the answer."""


def xpander_run_action(city: str) -> str:
    return f"Hello, {city}"
