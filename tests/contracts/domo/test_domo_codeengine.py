"""What Domo's packages import: `codeengine`, in both languages, with accounts, people, and the hosts that are open."""

from __future__ import annotations

import json
from typing import Any

import pytest

from polycall.v1 import execution_service_pb2
from tests.contracts.domo.conftest import Upstream
from tests.contracts.domo.driver import Domo

PYTHON = """
import codeengine
from codeengine import AxiosError, axios, getAccount, sendRequest


def account(name):
    return getAccount(name)


def person(id):
    return codeengine.getPersonDetails(id)


def execution():
    return codeengine.getExecutionDetails()


def seen(answer):
    return [answer.status, answer.ok, answer.data["method"], answer.data["path"], answer.data["body"]]


def ask(base):
    client = axios.create(baseURL=base, headers={"X-Who": "me"}, timeout=5000)
    listed = client.get("/list", params={"q": "a b", "none": None})
    auth = {"username": "u", "password": "p"}
    posted = axios({"method": "post", "url": f"{base}/made", "data": {"n": 1}, "auth": auth})
    return {
        "listed": seen(listed),
        "who": listed.data["headers"]["x-who"],
        "posted": seen(posted),
        "type": posted.data["headers"]["content-type"],
        "auth": posted.data["headers"]["authorization"],
        "text": axios.get(f"{base}/text").data,
        "kept": axios.get(f"{base}/status/404", validateStatus=lambda status: True).status,
    }


def fail(url):
    try:
        return axios.get(url, timeout=5000).status
    except AxiosError as error:
        return [error.code, error.status, error.message]


def send(method, url, body):
    answer = sendRequest(method, url, body, {"X-More": "1"}, "application/vnd.acme+json")
    headers = answer["headers"]
    return [answer["method"], answer["path"], answer["body"], headers["content-type"], headers["x-more"]]
"""
JAVASCRIPT = """
const codeengine = require("codeengine")
const { axios, getAccount, sendRequest } = codeengine
if (require("axios") !== axios) throw new Error("there are two")

const account = (name) => getAccount(name)
const person = (id) => codeengine.getPersonDetails(id)
const execution = () => codeengine.getExecutionDetails()
const seen = ({ status, ok, data }) => [status, ok, data.method, data.path, data.body]

async function ask(base) {
  const client = axios.create({ baseURL: base, headers: { "X-Who": "me" }, timeout: 5000 })
  const listed = await client.get("/list", { params: { q: "a b", none: null } })
  const auth = { username: "u", password: "p" }
  const posted = await axios({ method: "post", url: `${base}/made`, data: { n: 1 }, auth })
  return {
    listed: seen(listed),
    who: listed.data.headers["x-who"],
    posted: seen(posted),
    type: posted.data.headers["content-type"],
    auth: posted.data.headers.authorization,
    text: (await axios.get(`${base}/text`)).data,
    kept: (await axios.get(`${base}/status/404`, { validateStatus: () => true })).status,
  }
}

async function fail(url) {
  try {
    return (await axios.get(url, { timeout: 5000 })).status
  } catch (error) {
    if (!axios.isAxiosError(error)) throw error
    return [error.code, error.response?.status ?? null, error.message]
  }
}

async function send(method, url, body) {
  const answer = await sendRequest(method, url, body, { "X-More": "1" }, "application/vnd.acme+json")
  return [answer.method, answer.path, answer.body, answer.headers["content-type"], answer.headers["x-more"]]
}
"""
MODULE = """
import codeengine, { axios, sendRequest } from "codeengine"
import alone from "axios"

export const same = () => alone === axios && codeengine.sendRequest === sendRequest
export async function intercepted(base) {
  const client = axios.create({ baseURL: base })
  client.interceptors.request.use((config) => ({ ...config, headers: { ...config.headers, "x-who": "it" } }))
  client.interceptors.response.use((response) => response.data.headers["x-who"])
  return await client.post("/any", new URLSearchParams({ a: "ä" }))
}
"""
SOURCES = {"PYTHON": PYTHON, "JAVASCRIPT": JAVASCRIPT}
LANGUAGES = list(SOURCES)
ACCOUNTS = [
    {"accountId": 92, "alias": "shop"},
    {"alias": "by-name"},
    "plain-id",
    {"accountId": "no-object", "alias": "no-object"},
    {"accountId": "missing", "alias": "missing"},
]


@pytest.fixture(scope="module")
def packages(configured: Domo) -> dict[str, str]:
    """Packages by language, and the accounts that they map."""
    for secret_id, name, value in (
        ("92", "Shop", '{"user": "u", "password": "s3cret"}'),
        ("named", "by-name", '{"token": "t"}'),
        ("plain-id", "Plain", "{}"),
        ("no-object", "No object", '["x"]'),
        ("unmapped", "unmapped", '{"token": "nobody gets this"}'),
    ):
        body = json.dumps({"secret_id": secret_id, "secret": {"display_name": name, "value": value}}).encode()
        headers = {"authorization": f"Bearer {configured.key}"}
        answer = configured.server.http("POST", "/polycall/v1/secrets", body=body, headers=headers)
        assert answer.status == 200, answer.body
    manifest = {"configuration": {"accountsMapping": ACCOUNTS}}
    return {each: configured.saved(code, language=each, manifest=manifest) for each, code in SOURCES.items()}


@pytest.fixture(params=LANGUAGES)
def call(request: pytest.FixtureRequest, configured: Domo, packages: dict[str, str]) -> Any:
    """Run a function of the package in a language and return what it returned, or what it failed with."""

    def run(function: str, **inputs: object) -> Any:
        record = configured.run(function, package=packages[request.param], version="1.0.0", get_logs=True, **inputs)
        return record["result"] if record["status"] == "SUCCESS" else record["errorInformation"]["errorMessages"]

    return run


def test_an_account_is_a_secret_that_the_version_maps(call: Any) -> None:
    shop = {"id": "92", "alias": "shop", "properties": {"user": "u", "password": "s3cret"}}
    assert call("account", name="shop") == shop
    assert call("account", name="92") == shop
    assert call("account", name={"id": 92}) == shop
    assert call("account", name="by-name")["properties"] == {"token": "t"}
    assert call("account", name="plain-id")["properties"] == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unmapped", "is not mapped: the version's configuration.accountsMapping has to name it."),
        ("named", "is not mapped: the version's configuration.accountsMapping has to name it."),
        ("missing", "has no secret here that can be opened: one whose id or name is the account's id or alias."),
        ("no-object", "is a secret whose value is no JSON object of properties."),
    ],
)
def test_an_account_that_cannot_be_had_says_why(call: Any, name: str, message: str) -> None:
    (failure,) = call("account", name=name)
    assert failure in (f"LookupError: Account '{name}' {message}", f"Error: Account '{name}' {message}")


def test_people_and_the_execution_are_told(call: Any, configured: Domo) -> None:
    assert call("person", id=481303514) == {"id": "481303514", "displayName": "Ada Lovelace"}
    (failure,) = call("person", id="1")
    assert "Person '1' is not known here" in failure
    details = call("execution")
    keys = ["executionId", "packageId", "version", "functionName", "startedBy", "startedOn"]
    assert list(details) == keys
    record = configured.get(details["executionId"], package=details["packageId"]).json()
    assert [record[key] for key in keys[:5]] == [details[key] for key in keys[:5]]


def test_axios_asks_hosts_that_are_open(call: Any, upstream: Upstream) -> None:
    base = f"http://localhost:{upstream.port}"
    answer = call("ask", base=base)
    assert json.loads(answer["posted"].pop()) == {"n": 1}
    assert answer == {
        "listed": [200, True, "GET", "/list?q=a+b", ""],
        "who": "me",
        "posted": [200, True, "POST", "/made"],
        "type": "application/json",
        "auth": "Basic dTpw",
        "text": "plain",
        "kept": 404,
    }


def test_a_request_that_fails_says_how(call: Any, upstream: Upstream) -> None:
    base = f"http://localhost:{upstream.port}"
    assert call("fail", url=f"{base}/status/404") == ["ERR_BAD_REQUEST", 404, "Request failed with status code 404"]
    assert call("fail", url=f"{base}/status/500") == ["ERR_BAD_RESPONSE", 500, "Request failed with status code 500"]
    # what is not open answers for itself over http, and breaks the connection over https
    assert call("fail", url="http://other.example.com/")[1] == 403
    code, status, message = call("fail", url="https://other.example.com/")
    assert (code, status) == ("ERR_NETWORK", None)
    assert message.startswith("Network Error")


def test_send_request_goes_to_the_instance_unless_it_has_a_whole_url(call: Any, upstream: Upstream) -> None:
    sent = call("send", method="post", url="/api/data/v3/things?x=1", body={"n": 1})
    assert (sent[0], sent[1], json.loads(sent[2])) == ("POST", "/acme/api/data/v3/things?x=1", {"n": 1})
    assert sent[3:] == ["application/vnd.acme+json", "1"]
    whole = f"http://localhost:{upstream.port}"
    assert call("send", method="PUT", url=f"{whole}/x", body="plain")[:3] == ["PUT", "/x", "plain"]
    (failure,) = call("send", method="get", url=f"{whole}/status/403", body=None)
    assert failure == "AxiosError: Request failed with status code 403"


def test_modules_import_what_scripts_require(configured: Domo, upstream: Upstream) -> None:
    package_id = configured.saved(MODULE, language="JAVASCRIPT")
    assert configured.run("same", package=package_id, version="1.0.0")["result"] is True
    base = f"http://localhost:{upstream.port}"
    assert configured.run("intercepted", package=package_id, version="1.0.0", base=base)["result"] == "it"


@pytest.mark.parametrize("language", LANGUAGES)
def test_where_the_operator_opened_nothing_code_reaches_nothing(owner: Domo, language: str) -> None:
    package_id = owner.saved(SOURCES[language], language=language)
    record = owner.run("fail", package=package_id, version="1.0.0", url="http://localhost/")
    assert record["result"][:2] == ["ERR_NETWORK", None]
    (failure,) = owner.run("send", package=package_id, version="1.0.0", method="get", url="api/x", body=None)[
        "errorInformation"
    ]["errorMessages"]
    assert "is no whole URL" in failure
    owner.asked("DELETE", f"/{package_id}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_natively_a_package_imports_it_and_is_told_nothing(
    configured: Domo, packages: dict[str, str], language: str
) -> None:
    for function, given in (("account", '{"name": "shop"}'), ("execution", "{}")):
        name = f"packages/{packages[language]}/functions/{function}"
        request = execution_service_pb2.RunFunctionRequest(function=name, input_json=given)
        execution = configured.server.executions.RunFunction(request, metadata=configured.server.metadata)
        assert execution.error.type in ("LookupError", "Error")
        assert "s3cret" not in str(execution)


def test_no_account_is_kept_with_an_execution_or_in_the_log(configured: Domo, packages: dict[str, str]) -> None:
    record = configured.run("execution", package=packages["PYTHON"], version="1.0.0")
    request = execution_service_pb2.GetExecutionRequest(name=f"executions/{record['executionId']}")
    execution = configured.server.executions.GetExecution(request, metadata=configured.server.metadata)
    assert "s3cret" not in str(execution)
    assert "s3cret" not in configured.server.log.read_text()
