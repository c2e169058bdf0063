def hello(name: str = "world", times: int = 1) -> dict:
    """Greet somebody, more than once if they are hard of hearing."""
    print(f"greeting {name}")
    return {"greeting": ", ".join(["hello"] * times) + f", {name}"}
