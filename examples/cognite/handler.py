"""A Cognite Function: `handle` gets, of data, client, secrets and function_call_info, what it names."""


def handle(data, function_call_info):
    print(f"call {function_call_info['call_id']} of function {function_call_info['function_id']}")
    return {"greeting": f"Hello, {data.get('name', 'world')}"}
