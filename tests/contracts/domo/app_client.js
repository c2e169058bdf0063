// @domoinc/toolkit and ryuu.js behind a pipe: one JSON request a line, one JSON answer a line.
//
//     node app_client.js MODULES BASE_URL
//
// A request is [client, method, ...arguments]; client is "toolkit" (CodeEngineClient) or "domo" (ryuu.js).
"use strict";

const [modules, base] = process.argv.slice(2);

// What both expect of a browser: a page, and fetch with the page's address in front of paths.
const nothing = () => {};
class MutationObserver {
  observe() {}
}
const element = { appendChild: nothing, addEventListener: nothing };
Object.assign(globalThis, {
  self: globalThis,
  window: globalThis,
  parent: { postMessage: nothing },
  addEventListener: nothing,
  location: { search: "?", hostname: "acme.domo.com" },
  document: { head: element, body: element, documentElement: element, createElement: () => ({ ...element }) },
  HTMLElement: class {},
  MutationObserver,
});
const requests = [];
const { fetch } = globalThis;
globalThis.fetch = (path, options) => {
  requests.push([options?.method ?? "GET", path, options?.headers ?? {}]);
  return fetch(base + path, options);
};
const log = console.log;
console.log = console.error = nothing; // the toolkit's own words

const { CodeEngineClient } = require(`${modules}/@domoinc/toolkit`);
const domo = require(`${modules}/ryuu.js`);

async function answer([client, method, ...given]) {
  requests.length = 0;
  const target = client === "toolkit" ? CodeEngineClient : domo;
  try {
    const value = await target[method](...given);
    return { value: value === undefined ? null : value, requests };
  } catch (error) {
    return { error: String(error.error ?? error.message), status: error.status ?? null, body: error.body ?? null, requests };
  }
}

require("node:readline")
  .createInterface({ input: process.stdin })
  .on("line", async (line) => log(JSON.stringify(await answer(JSON.parse(line)))));
