// Domo's `codeengine` for JavaScript: accounts, people, the execution, and HTTP to the hosts that the operator opened.

const axios = require("./axios.js");

const told = globalThis[Symbol.for("polycall.options")] ?? {};

/** Send a request and return what is in its answer; throws an error with `status`, `statusReason` and `data`. */
async function sendRequest(method, url, body, headers, contentType) {
  const sent = { ...headers };
  if (contentType) sent["content-type"] = contentType;
  try {
    return (await axios.request({ method, url: atInstance(String(url)), data: body, headers: sent })).data;
  } catch (error) {
    const { status, statusText: statusReason, data } = error.response ?? {};
    throw Object.assign(error, { status, statusReason, data });
  }
}

/** Return `{properties}` of an account that this version maps. */
async function getAccount(aliasOrId) {
  const wanted = textOf(aliasOrId);
  const account = (told.accounts ?? []).find(({ alias, id }) => alias === wanted || id === wanted);
  if (account === undefined) {
    throw new Error(`Account '${wanted}' is not mapped: the version's configuration.accountsMapping has to name it.`);
  }
  if (account.problem) throw new Error(`Account '${wanted}' ${account.problem}.`);
  return { id: account.id, alias: account.alias, properties: structuredClone(account.properties) };
}

/** Return `{id, displayName}` of a person that the operator has named. */
async function getPersonDetails(id) {
  const wanted = textOf(id);
  const people = told.people ?? {};
  if (!Object.hasOwn(people, wanted)) {
    throw new Error(`Person '${wanted}' is not known here: the operator names people in the file of Domo settings.`);
  }
  return { id: wanted, displayName: people[wanted] };
}

/** Return what this execution is called. */
async function getExecutionDetails() {
  if (told.execution === undefined) {
    throw new Error("This execution was not started through Domo's contract and has no details.");
  }
  return { ...told.execution };
}

function textOf(value) {
  return String(value !== null && typeof value === "object" ? value.id : value);
}

function atInstance(url) {
  if (/^[a-z][a-z\d+.-]*:/i.test(url)) return url;
  if (!told.instance) {
    throw new Error(`'${url}' is no whole URL, and the operator has set no instance that it would be a path of.`);
  }
  return new URL(url.replace(/^\/+/, ""), `${told.instance.replace(/\/+$/, "")}/`).href;
}

module.exports = { axios, sendRequest, getAccount, getPersonDetails, getExecutionDetails };
