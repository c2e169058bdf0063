// What functions a module has: for deployments that do not say it themselves. It is the program that answers, by being
// loaded; only what cannot be seen of a script from outside, the names of its own functions, is looked for in its text.

import { namesOf } from "./call.js";

const DECLARED = /\b(?:function\s*\*?|const|let|var)\s+([\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*)/gu;

/** Return a module's public functions, `{name, parameters}`; parameters are null where they are not plain names. */
export function inventory({ exports, module, local }, source) {
  const named = new Map();
  add(named, exports);
  if (module.exports !== null && typeof module.exports === "object") add(named, module.exports);
  for (const main of [exports.default, module.exports]) {
    if (typeof main === "function") named.set(main.name && main.name !== "default" ? main.name : "default", main);
    else if (main !== null && typeof main === "object") add(named, main);
  }
  // nothing is exported: a script, whose functions are its own declarations
  if (named.size === 0 && local !== undefined) {
    for (const [, name] of source.matchAll(DECLARED)) set(named, name, () => local(name));
  }
  return [...named].map(([name, fn]) => ({ name, parameters: namesOf(fn) }));
}

function add(named, offer) {
  for (const name of Object.keys(offer)) if (name !== "default") set(named, name, () => offer[name]);
}

function set(named, name, get) {
  let value;
  try {
    value = get();
  } catch {
    return; // declared in some inner scope, or not initialised
  }
  const text = typeof value === "function" ? Function.prototype.toString.call(value) : "";
  if (text && !/^[_$]/.test(name) && !/^class\b/.test(text)) named.set(name, value);
}
