// The child's end of its two pipes: u32 header | u32 payload | header (JSON) | payload, little endian.

const encoder = new TextEncoder();
const decoder = new TextDecoder();
// As a rule all that comes with a call.
const READ = 1 << 16;

export class Connection {
  #calls;
  #answers;
  #buffer = new Uint8Array(READ);
  #start = 0;
  #end = 0;

  /** Open the pipes in a directory and take them out of it: the program has no business with them. */
  constructor(directory) {
    const [calls, answers] = [`${directory}/.calls`, `${directory}/.answers`];
    this.#calls = Deno.openSync(calls, { read: true });
    this.#answers = Deno.openSync(answers, { write: true });
    Deno.removeSync(calls);
    Deno.removeSync(answers);
  }

  /** Wait for a frame, all else at rest; null when the server has hung up. */
  receive() {
    const prefix = this.#read(8);
    if (prefix === null) return null;
    const view = new DataView(prefix.buffer, prefix.byteOffset, 8);
    const [size, rest] = [view.getUint32(0, true), view.getUint32(4, true)];
    const body = this.#read(size + rest);
    if (body === null) return null;
    return { header: JSON.parse(decoder.decode(body.subarray(0, size))), payload: body.subarray(size) };
  }

  /** Send a frame whole. */
  send(header, payload = "") {
    const [text, body] = [encoder.encode(JSON.stringify(header)), encoder.encode(payload)];
    const frame = new Uint8Array(8 + text.length + body.length);
    const view = new DataView(frame.buffer);
    view.setUint32(0, text.length, true);
    view.setUint32(4, body.length, true);
    frame.set(text, 8);
    frame.set(body, 8 + text.length);
    writeAll(this.#answers, frame);
  }

  #read(size) {
    if (this.#end - this.#start < size) {
      const rest = this.#buffer.subarray(this.#start, this.#end);
      // what was handed out stays as it is: never read over it
      const buffer = new Uint8Array(Math.max(size, READ));
      buffer.set(rest);
      [this.#buffer, this.#start, this.#end] = [buffer, 0, rest.length];
      while (this.#end < size) {
        const count = this.#calls.readSync(buffer.subarray(this.#end));
        if (count === null) return null;
        this.#end += count;
      }
    }
    this.#start += size;
    return this.#buffer.subarray(this.#start - size, this.#start);
  }
}

/** Write all of some bytes to an open file. */
export function writeAll(file, data) {
  for (let done = 0; done < data.length;) done += file.writeSync(data.subarray(done));
}
