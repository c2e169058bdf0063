// What code knows as `axios`, as far as a sandbox can have it: over fetch, which goes through the run's proxy.

const FORM = "application/x-www-form-urlencoded";
const JSON_TYPE = "application/json";

class AxiosError extends Error {
  constructor(message, code, config, response) {
    super(message);
    this.name = "AxiosError";
    this.isAxiosError = true;
    Object.assign(this, { code, config, request: {}, response, status: response?.status });
  }

  toJSON() {
    return { message: this.message, name: this.name, code: this.code, status: this.status };
  }
}

/** Functions that a request or an answer goes through, in the order in which axios calls them. */
class Interceptors {
  handlers = [];
  use(fulfilled, rejected) {
    return this.handlers.push({ fulfilled, rejected }) - 1;
  }
  eject(id) {
    if (this.handlers[id]) this.handlers[id] = {};
  }
  clear() {
    this.handlers = [];
  }
}

function make(defaults) {
  const axios = (url, config) => axios.request(typeof url === "string" ? { ...config, url } : url);
  axios.defaults = { ...defaults, headers: { common: {}, ...defaults.headers } };
  axios.interceptors = { request: new Interceptors(), response: new Interceptors() };
  axios.request = (url, more) => {
    const config = typeof url === "string" ? { ...more, url } : { ...url };
    let chain = Promise.resolve(merged(axios.defaults, config));
    for (const { fulfilled, rejected } of axios.interceptors.request.handlers.toReversed()) {
      chain = chain.then(fulfilled, rejected);
    }
    chain = chain.then(send);
    for (const { fulfilled, rejected } of axios.interceptors.response.handlers) chain = chain.then(fulfilled, rejected);
    return chain;
  };
  for (const method of ["get", "delete", "head", "options"]) {
    axios[method] = (url, config) => axios.request({ ...config, method, url });
  }
  for (const method of ["post", "put", "patch"]) {
    axios[method] = (url, data, config) => axios.request({ ...config, method, url, data });
  }
  axios.create = (config = {}) => make(merged(axios.defaults, config));
  axios.getUri = (config) => address(merged(axios.defaults, config));
  axios.isAxiosError = (error) => error?.isAxiosError === true;
  axios.all = (promises) => Promise.all(promises);
  return Object.assign(axios, { AxiosError, default: axios, axios });
}

function merged(defaults, config) {
  const { common, ...own } = defaults.headers ?? {};
  const perMethod = own[(config.method ?? defaults.method ?? "get").toLowerCase()];
  const plain = Object.entries(own).filter(([, value]) => typeof value !== "object");
  const headers = { ...common, ...Object.fromEntries(plain), ...perMethod, ...Object.fromEntries(entriesOf(config.headers)) };
  return { ...defaults, ...config, headers };
}

function entriesOf(headers) {
  if (!headers) return [];
  return typeof headers.entries === "function" ? [...headers.entries()] : Object.entries(headers);
}

function address({ url = "", baseURL, params, paramsSerializer }) {
  if (baseURL && !/^[a-z][a-z\d+.-]*:/i.test(url)) {
    url = url ? `${baseURL.replace(/\/+$/, "")}/${url.replace(/^\/+/, "")}` : baseURL;
  }
  const query = typeof paramsSerializer === "function" ? paramsSerializer(params) : queryOf(params);
  if (!query) return url;
  return `${url.replace(/#.*/, "")}${url.includes("?") ? "&" : "?"}${query}`;
}

function queryOf(params) {
  if (!params) return "";
  if (params instanceof URLSearchParams) return params.toString();
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === null || value === undefined) continue;
    if (Array.isArray(value)) for (const item of value) query.append(`${name}[]`, text(item));
    else query.append(name, text(value));
  }
  return query.toString();
}

function text(value) {
  if (value instanceof Date) return value.toISOString();
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

async function send(config) {
  const headers = new Headers({ accept: "application/json, text/plain, */*" });
  for (const [name, value] of Object.entries(config.headers)) {
    if (value !== null && value !== undefined && value !== false) headers.set(name, value);
  }
  if (config.auth) {
    const pair = `${config.auth.username ?? ""}:${config.auth.password ?? ""}`;
    headers.set("authorization", `Basic ${Buffer.from(pair).toString("base64")}`);
  }
  const method = (config.method ?? "get").toUpperCase();
  const body = method === "GET" || method === "HEAD" ? undefined : encoded(config.data, headers);
  const signals = [config.signal, config.timeout ? AbortSignal.timeout(config.timeout) : null].filter(Boolean);
  const options = { method, headers, body, redirect: config.maxRedirects === 0 ? "manual" : "follow" };
  if (signals.length) options.signal = AbortSignal.any(signals);
  let answer, data;
  try {
    answer = await fetch(address(config), options);
    data = await decoded(answer, config.responseType);
  } catch (error) {
    if (error?.name === "TimeoutError") throw new AxiosError(`timeout of ${config.timeout}ms exceeded`, "ECONNABORTED", config);
    if (error?.name === "AbortError") throw new AxiosError("canceled", "ERR_CANCELED", config);
    if (error?.name === "NotCapable") throw new AxiosError("Network Error: no hosts are open to this run", "ERR_NETWORK", config);
    throw new AxiosError(`Network Error: ${error?.message ?? error}`, "ERR_NETWORK", config);
  }
  const received = Object.fromEntries(answer.headers.entries());
  Object.defineProperty(received, "get", { value: (name) => answer.headers.get(name), enumerable: false });
  const response = {
    data, status: answer.status, statusText: answer.statusText, ok: answer.ok, headers: received, config, request: {},
  };
  const valid = config.validateStatus === undefined ? (status) => status >= 200 && status < 300 : config.validateStatus;
  if (valid && !valid(answer.status)) {
    const code = answer.status < 500 ? "ERR_BAD_REQUEST" : "ERR_BAD_RESPONSE";
    throw new AxiosError(`Request failed with status code ${answer.status}`, code, config, response);
  }
  return response;
}

function encoded(data, headers) {
  if (data === undefined || data === null) return undefined;
  const typed = (type) => headers.has("content-type") || headers.set("content-type", type);
  if (data instanceof URLSearchParams) {
    typed(`${FORM};charset=utf-8`);
    return data.toString();
  }
  if (data instanceof FormData || data instanceof Blob || data instanceof ReadableStream) return data;
  if (ArrayBuffer.isView(data) || data instanceof ArrayBuffer) return data;
  if (typeof data === "string") {
    typed(FORM);
    return data;
  }
  typed(JSON_TYPE);
  return (headers.get("content-type") ?? "").startsWith(FORM) ? queryOf(data) : JSON.stringify(data);
}

async function decoded(answer, type) {
  if (type === "arraybuffer") return Buffer.from(await answer.arrayBuffer());
  if (type === "blob") return await answer.blob();
  if (type === "stream") return answer.body;
  const body = await answer.text();
  if (type === "text") return body;
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

module.exports = make({ method: "get", headers: {} });
