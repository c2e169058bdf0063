// A child's whole life after it became a Deno process: take a program, answer calls, end. See polycall.sandbox.inside.

import process from "node:process";
import { bind } from "./call.js";
import { encode, NotSerializable } from "./encode.js";
import { EntrypointNotFound, place, Program } from "./program.js";
import { describe } from "./report.js";
import { Connection, writeAll } from "./wire.js";

const FAILED = 1;
const { exit } = Deno; // ours, whatever a program puts in its place
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Answers the calls of one program. */
class Server {
  #connection;
  #layout;
  #program = null;
  #broken = null; // why there is no program
  #placed = [];
  #fail = null; // ends the call that is running

  constructor(connection, layout) {
    this.#connection = connection;
    this.#layout = layout;
    for (const kind of ["error", "unhandledrejection"]) {
      globalThis.addEventListener(kind, (event) => {
        // what nobody caught would end the process with words of the runtime's
        event.preventDefault();
        this.#uncaught(kind === "error" ? event.error : event.reason);
      });
    }
    globalThis.addEventListener("beforeunload", (event) => {
      if (this.#fail === null) return;
      event.preventDefault();
      this.#uncaught(new Error("the function waits for something that cannot happen any more"));
    });
  }

  load(header, payload) {
    for (const [name, value] of Object.entries(header.env)) Deno.env.set(name, value);
    const [files] = split(header.files, payload);
    try {
      this.#program = new Program(this.#layout.code, files);
    } catch (error) {
      this.#broken = error;
    }
  }

  /** Run once and send what came of it, unless the process ends on the way. */
  async call(header, payload) {
    const [parts, rest] = split(header.parts, payload);
    let [kind, body] = ["raised", ""];
    const failed = new Promise((_, reject) => (this.#fail = reject));
    try {
      this.#layOut(header, parts, rest);
      if (header.convention === "script") return await this.#script(header);
      [kind, body] = await Promise.race([this.#answer(header, parts), failed]);
    } catch (error) {
      [kind, body] = this.#failure(error);
    }
    this.#fail = null;
    await flush();
    // as an interpreter would: the stack ends stderr
    if (kind === "raised" || kind === "missing") writeAll(Deno.stderr, encoder.encode(JSON.parse(body).traceback));
    const odd = this.#uncaughtOnce || parts.get("stdin").length > 0;
    this.#connection.send({ kind, nonce: header.nonce, odd }, body);
  }

  #uncaughtOnce = false;

  #uncaught(error) {
    this.#uncaughtOnce = true; // whatever it was goes on, perhaps
    if (this.#fail !== null) return this.#fail(error);
    writeAll(Deno.stderr, encoder.encode(JSON.parse(describe(error, this.#layout.code)).traceback));
    exit(FAILED);
  }

  #failure(error) {
    let missing = false;
    try {
      if (error instanceof NotSerializable) return ["unserializable", error.message];
      missing = error instanceof EntrypointNotFound;
    } catch { /* what is thrown may be a proxy that throws when it is asked what it is */ }
    return [missing ? "missing" : "raised", describe(error, this.#layout.code)];
  }

  /** Put in place what comes with a call. Throws what kept the program from being loaded. */
  #layOut(header, parts, rest) {
    for (const path of this.#placed) remove(`${this.#layout.work}/${path}`);
    Deno.chdir(this.#layout.work);
    const [files] = split(header.files, rest);
    this.#placed = [...files.keys()];
    for (const [path, data] of files) place(this.#layout.work, path, data);
    if (parts.get("stdin").length > 0) writeStdin(this.#layout, parts.get("stdin"));
    if (this.#program === null) throw this.#broken ?? new Error("there is no program");
  }

  async #answer(header, parts) {
    const options = JSON.parse(decoder.decode(parts.get("options")));
    // for the modules that a face has put beside the program's
    if (Object.keys(options).length > 0) globalThis[Symbol.for("polycall.options")] = options;
    const { fn, owner } = await this.#program.function(header.entrypoint);
    if (header.load_only) return ["result", "null"];
    const value = JSON.parse(decoder.decode(parts.get("payload")));
    const result = encode(await fn.apply(owner, bind(header.convention, fn, value, header.parameters, options.ignoreUnknown === true)));
    const size = sizeOf(result, header.result_bytes);
    return size > header.result_bytes ? ["too_large", String(size)] : ["result", result];
  }

  /** Run as `deno run file` does, to the end of the process: how it ended is known from the kernel. */
  async #script(header) {
    this.#fail = null;
    Object.defineProperty(Deno, "args", { value: [...header.args], configurable: true, enumerable: true });
    alsoText(process.stdin, `${this.#layout.temporary}/.stdin`);
    process.argv.splice(1, process.argv.length, `${this.#layout.code}/${header.entrypoint}`, ...header.args);
    try {
      await this.#program.script(header.entrypoint);
    } catch (error) {
      this.#uncaught(error);
    }
    return true;
  }
}

function split(sizes, payload) {
  const parts = new Map();
  for (const [name, size] of sizes) {
    parts.set(name, payload.subarray(0, size));
    payload = payload.subarray(size);
  }
  return [parts, payload];
}

/** Return the bytes that a text has in UTF-8; counted only where its length does not tell already. */
function sizeOf(text, most) {
  return text.length * 3 <= most ? text.length : encoder.encode(text).length;
}

function remove(path) {
  try {
    Deno.removeSync(path);
  } catch { /* the program's business */ }
}

/** Fill the file that descriptor 0 was opened from, before anybody read of it. */
function writeStdin({ temporary }, data) {
  const file = Deno.openSync(`${temporary}/.stdin`, { write: true });
  writeAll(file, data);
  file.close();
}

/** Let a stream be used as the text that it will give, too: Riza's programs call `process.stdin.split("\n")`. */
function alsoText(stream, path) {
  let text;
  const read = () => (text ??= Deno.readTextFileSync(path));
  for (const name of Object.getOwnPropertyNames(String.prototype)) {
    if (name === "length") Object.defineProperty(stream, name, { get: () => read().length });
    else if (name === "toString" || !(name in stream)) {
      Object.defineProperty(stream, name, { value: (...given) => read()[name](...given), configurable: true });
    }
  }
}

/** Wait for what node's streams still hold. */
async function flush() {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writableLength > 0) await new Promise((resolve) => stream.write("", () => resolve()));
  }
}

/**
 * Go the way of a run once, as a script and as a typed module, and leave no trace: what is compiled and touched while the
 * child waits, no run has to wait for.
 */
async function rehearse(layout) {
  const [script, module] = ["rehearsal.js", "rehearsal.ts"];
  const source = encoder.encode("function execute(input) { return input }");
  const typed = encoder.encode("enum A { b = 1 }\nexport function execute(input: number): unknown { return [input, A.b] }");
  const program = new Program(layout.code, new Map([[script, source], [module, typed]]));
  for (const path of [script, module]) {
    const { fn, owner } = await program.function(`${path}:execute`);
    const value = JSON.parse(decoder.decode(encoder.encode('{"n": [1, 2.5, "x", null]}')));
    encode(await fn.apply(owner, bind("input", fn, value, [])));
    remove(`${layout.code}/${path}`);
  }
  describe(new Error("rehearsal"), layout.code);
  await flush();
}

async function main() {
  const [code, work, temporary] = Deno.args;
  for (const name of ["DENO_DIR", "DENO_NO_UPDATE_CHECK"]) Deno.env.delete(name); // ours, read at the start
  const connection = new Connection(temporary);
  const layout = { code, work, temporary };
  const server = new Server(connection, layout);
  await rehearse(layout);
  connection.send({ kind: "ready" });
  for (let frame; (frame = connection.receive()) !== null;) {
    if (frame.header.op === "load") server.load(frame.header, frame.payload);
    else if (await server.call(frame.header, frame.payload)) return; // a script: it ends when it ends
  }
  exit(0);
}

// without it a server that is broken would wait for ever for what is not to come
main().catch(() => exit(FAILED));
