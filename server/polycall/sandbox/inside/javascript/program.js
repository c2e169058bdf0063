// The submitted program in its sandbox: files on disk, modules loaded, entry points found.

import { createRequire, stripTypeScriptTypes } from "node:module";
import { compileFunction, constants } from "node:vm";
import { inventory } from "./inventory.js";
import { writeAll } from "./wire.js";

const encoder = new TextEncoder();

/** Thrown when the module or the callable does not exist. */
export class EntrypointNotFound extends Error {
  constructor(type, message) {
    super(message);
    this.name = type;
  }
}

/** Leave out of a message what flag would allow it: that is not the author's to give. */
export function unflagged(message) {
  return message.replace(/, run again with the --allow-[a-z]+ flag/, ", which a sandbox has not");
}

/** Thrown for a module that cannot be read or linked; nothing of it ran. */
export class LoadFailed extends Error {
  constructor(type, message, traceback = "", line = 0, column = 0) {
    super(message);
    this.name = type;
    this.traceback = traceback || `${type}: ${message}\n`;
    Object.assign(this, { line, column });
  }

  /**
   * Return the failure that the module loader dressed as a TypeError, in words of the program: `SyntaxError: …`, a
   * picture of the line, hints for a command line that its author has not, and the place at the end. Anything else, such
   * as what the module itself threw, is returned as it is.
   */
  static from(error, root) {
    const place = /\n    at (file:\/\/\S+):(\d+):(\d+)$/.exec(error instanceof Error ? error.message : "");
    if (place === null) return error;
    const home = `${url(root)}/`;
    const [, type, text] = /^(?:(SyntaxError): )?([^]*)$/.exec(error.message.slice(0, place.index).replaceAll(home, ""));
    const [message] = text.split("\n", 1).map(unflagged);
    const where = `${place[1].replace(home, "")}:${place[2]}`;
    const shown = unflagged(text.replace(/\n\s+hint: [^]*$/, ""));
    const title = `${type ?? "Error"}: ${shown}`;
    const traceback = `${title}\n    at ${where}:${place[3]}\n`;
    return new LoadFailed(type ?? "Error", `${message} (${where})`, traceback, Number(place[2]), Number(place[3]));
  }
}

// What an entry point may leave out of its module's name, in this order.
const SUFFIXES = ["", ".ts", ".mts", ".js", ".mjs", ".cjs"];
const REQUIRED = ["", ".js", ".cjs", ".json", ".ts", ".mts", ".mjs", "/index.js", "/index.ts"];
const NAME = /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u;
// The name under which a module lends its own bindings, so that a function need not be exported to be found. It stands
// on a line behind the source: every other line keeps its number.
const LENDS = "$polycall";
const GLOBALS = new Set(Reflect.ownKeys(globalThis));

/** Write a file below a directory, folders included, in place of what is there. The path was checked by the server. */
export function place(root, path, data) {
  const target = `${root}/${path}`;
  // the mode belongs to the creation: to change it afterwards is not allowed at every level of isolation
  const options = { write: true, createNew: true, mode: 0o444 };
  let file;
  try {
    file = Deno.openSync(target, options);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) Deno.mkdirSync(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    else if (error instanceof Deno.errors.AlreadyExists) Deno.removeSync(target);
    else throw error;
    file = Deno.openSync(target, options);
  }
  writeAll(file, data);
  file.close();
}

/** A bundle on disk. */
export class Program {
  #root;
  #entries = new Map(); // path -> what a module has to offer
  #modules = new Map(); // path -> CommonJS module

  constructor(root, files) {
    this.#root = root;
    for (const [path, data] of files) place(root, path, data);
  }

  /** Return the function of `module:callable` and its `this`; of `module:` alone, one that tells of the module. */
  async function(entrypoint) {
    const colon = entrypoint.indexOf(":");
    const [name, callable] = [entrypoint.slice(0, colon), entrypoint.slice(colon + 1)];
    const path = this.#find(name, SUFFIXES);
    if (path === null) throw new EntrypointNotFound("Error", `Cannot find module '${name}'`);
    if (callable === "") return { fn: (input) => this.#describe(path, input?.load === true) };
    const found = find(await this.#entry(path), callable);
    if (found === undefined) throw new EntrypointNotFound("ReferenceError", `${callable} is not defined`);
    if (typeof found.fn !== "function") throw new EntrypointNotFound("TypeError", `${callable} is not a function`);
    return found;
  }

  /** Run a file as the main one. It is at its end when nothing is left to wait for. */
  async script(path) {
    if (this.#find(path, [""]) === null) throw new EntrypointNotFound("Error", `Cannot find module '${path}'`);
    await this.#load(path, true);
  }

  async #entry(path) {
    let entry = this.#entries.get(path);
    if (entry === undefined) {
      entry = await this.#load(path);
      this.#entries.set(path, entry);
    }
    return entry;
  }

  /** Say what is wrong with a module's text, or else, if it is to be loaded, what functions it has. */
  async #describe(path, load) {
    const source = read(`${this.#root}/${path}`);
    try {
      if (!/\.c?js$/.test(path) || this.#compile(path, source) instanceof SyntaxError) {
        stripTypeScriptTypes(source, { mode: "transform" });
      }
      return { problem: null, functions: load ? inventory(await this.#entry(path), source) : [] };
    } catch (thrown) {
      const error = LoadFailed.from(thrown, this.#root);
      const [line, column] = error instanceof LoadFailed ? [error.line, error.column] : [0, 0];
      const name = error?.name ?? "Error";
      const message = String(error?.message ?? error).replace(/ \([^()]*:\d+\)$/, "");
      return { problem: { message: `${name}: ${message}`.slice(0, 2000), line, column }, functions: [] };
    }
  }

  #find(name, suffixes) {
    for (const suffix of suffixes) {
      try {
        if (Deno.statSync(`${this.#root}/${name}${suffix}`).isFile) return name + suffix;
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return null;
  }

  /** Load a module as what it is: a script, where it is one; a module with imports and exports otherwise. */
  async #load(path, main = false) {
    const file = `${this.#root}/${path}`;
    if (/\.c?js$/.test(path)) {
      const source = read(file);
      const script = this.#compile(path, source);
      if (!(script instanceof SyntaxError) && !awaitsAtTop(source)) return this.#run(path, script, main);
      if (path.endsWith(".cjs")) throw new LoadFailed("SyntaxError", `${script.message} (${path})`);
      return this.#import(path, source, main);
    }
    if (/\.[mc]?tsx?$|\.jsx$|\.mjs$/.test(path)) return this.#import(path, read(file), main);
    throw new EntrypointNotFound("Error", `Cannot load '${path}': its name ends in none of .js .mjs .cjs .ts .mts`);
  }

  async #import(path, source, main) {
    const file = `${this.#root}/${path}`;
    const module = this.#module(path);
    const before = main ? "import.meta.main=true;" : "";
    place(this.#root, path, encoder.encode(`${before}${source}\nexport const ${LENDS} = (${LENDS}) => eval(${LENDS});\n`));
    // TypeScript may be written in the manner of a script, and is a module all the same
    const lent = lend({ module, exports: module.exports, require: this.#require(path) });
    try {
      const exports = await import(url(file));
      return { exports, module, local: exports[LENDS] };
    } catch (error) {
      throw LoadFailed.from(error, this.#root);
    } finally {
      lent();
    }
  }

  /** Compile a script, sloppy and with a scope of its own; return the SyntaxError if it is none. */
  #compile(path, source) {
    const names = ["exports", "require", "module", "__filename", "__dirname"];
    try {
      return compileFunction(`${source}\n;return (${LENDS}) => eval(${LENDS});`, names, {
        filename: url(`${this.#root}/${path}`),
        importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
      });
    } catch (error) {
      if (error instanceof SyntaxError) return error;
      throw error;
    }
  }

  #run(path, script, main = false) {
    const file = `${this.#root}/${path}`;
    const module = this.#module(path);
    const require = this.#require(path);
    if (main) require.main = module;
    const local = script.call(module.exports, module.exports, require, module, file, file.slice(0, file.lastIndexOf("/")));
    module.loaded = true;
    return { exports: {}, module, local: typeof local === "function" ? local : undefined };
  }

  #module(path) {
    const module = { exports: {}, id: path, filename: `${this.#root}/${path}`, loaded: false };
    this.#modules.set(path, module);
    return module;
  }

  /** Return the `require` of a module: files of the bundle as scripts, where they are; all else is the runtime's. */
  #require(path) {
    const native = createRequire(url(`${this.#root}/${path}`));
    const require = (name) => {
      if (!/^\.{0,2}\//.test(name)) return native(name);
      const wanted = new URL(name, url(`${this.#root}/${path}`)).pathname;
      if (!wanted.startsWith(`${this.#root}/`)) return native(name);
      const found = this.#find(decodeURIComponent(wanted.slice(this.#root.length + 1)), REQUIRED);
      if (found === null || !/\.c?js$/.test(found)) return native(found === null ? name : `${this.#root}/${found}`);
      const known = this.#modules.get(found);
      if (known !== undefined) return known.exports;
      const script = this.#compile(found, read(`${this.#root}/${found}`));
      if (script instanceof SyntaxError) return native(`${this.#root}/${found}`);
      try {
        return this.#run(found, script).module.exports;
      } catch (error) {
        this.#modules.delete(found);
        throw error;
      }
    };
    return Object.assign(require, { resolve: native.resolve, cache: native.cache, main: native.main });
  }
}

/** Return what an entry point means and what it hangs on, its `this`; undefined if there is nothing of that name. */
function find({ exports, module, local }, callable) {
  const [first, ...members] = callable.split(".");
  for (let [owner, value] of offers(exports, module.exports, local, first)) {
    for (const member of members) [owner, value] = [value, value?.[member]];
    if (value !== undefined && value !== null) return { fn: value, owner };
  }
  return undefined;
}

/** Yield what a module may mean by a name, its own declarations before what only stands for it. */
function* offers(exports, common, local, name) {
  if (name !== LENDS) yield [undefined, exports[name]];
  if (common !== null && common !== undefined) yield [common, common[name]];
  if (local !== undefined && NAME.test(name)) yield [undefined, lookUp(local, name)];
  for (const main of [exports.default, common]) {
    if (main !== null && typeof main === "object") yield [main, main[name]];
    // a module's only function answers for the name that callers use when they know none
    if (typeof main === "function" && (name === "execute" || name === "default" || name === main.name)) yield [undefined, main];
  }
  if (!GLOBALS.has(name)) yield [undefined, globalThis[name]];
}

function lookUp(local, name) {
  if (["exports", "require", "module", "__filename", "__dirname", "arguments", LENDS].includes(name)) return undefined;
  try {
    const value = local(name);
    return GLOBALS.has(name) && value === globalThis[name] ? undefined : value;
  } catch {
    return undefined; // not defined, a word of the language, or not initialised yet
  }
}

/** Read a source; its first line, if it is for a shell, is left empty. */
function read(file) {
  return Deno.readTextFileSync(file).replace(/^#!.*/, "");
}

/**
 * Tell whether a source that is a script, too, awaits at its top: `await (x)` calls a function of that name there. In the
 * static block of a class neither is legal, at the top, and both are in functions as they always are.
 */
function awaitsAtTop(source) {
  if (!/\bawait\b/.test(source)) return false;
  try {
    compileFunction(`class A { static {\n${source}\n} }`);
    return false;
  } catch (error) {
    return error?.message === "Unexpected reserved word"; // what V8 says of nothing else that a script may have
  }
}

function lend(names) {
  for (const [name, value] of Object.entries(names)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  return () => {
    for (const [name, value] of Object.entries(names)) if (globalThis[name] === value) delete globalThis[name];
  };
}

function url(path) {
  return `file://${path.split("/").map(encodeURIComponent).join("/")}`;
}
