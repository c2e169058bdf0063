// From the value that the code returned to JSON text.

/** Thrown for a value that JSON cannot hold; says which in one line. */
export class NotSerializable extends Error {}

// What JSON.stringify makes {} of (or an object of bytes) without a word.
const LOST = [
  Map, Set, WeakMap, WeakSet, WeakRef, Promise, ArrayBuffer, SharedArrayBuffer, DataView, Error, RegExp,
  Object.getPrototypeOf(Uint8Array),
];

/**
 * Return JSON text as JSON.stringify makes it, toJSON included; "" for undefined, which is null in an array and left out
 * as a member. What it would drop or change without a word (NaN, infinities, functions, symbols, Maps, Sets, bytes)
 * is refused, as is what it refuses itself (BigInt, cycles).
 */
export function encode(value) {
  try {
    const text = JSON.stringify(value);
    if (value !== undefined) check(value);
    return text ?? "";
  } catch (error) {
    if (error instanceof NotSerializable) throw error;
    if (error instanceof RangeError) throw new NotSerializable("The result is nested too deeply for JSON, or too long.");
    const line = String(error?.message ?? error).split(/\s+/).join(" ");
    throw new NotSerializable(line.slice(0, 1000) || "The result is not JSON serializable");
  }
}

function check(value) {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) throw new NotSerializable("A string holds a lone surrogate, which JSON text cannot hold.");
      return;
    case "number":
      if (!Number.isFinite(value)) throw new NotSerializable(`The number ${value} is not JSON serializable`);
      return;
    case "function":
    case "symbol":
      throw new NotSerializable(`A ${typeof value} is not JSON serializable`);
    case "object":
      if (value !== null) checkObject(value);
  }
}

function checkObject(value) {
  if (typeof value.toJSON === "function") {
    // its own word for itself; once more is the price of having looked only where it is seldom needed
    if (!(value instanceof Date)) check(value.toJSON(""));
    return;
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) check(value[index]);
    return;
  }
  if (value instanceof Number) return check(Number(value));
  for (const kind of LOST) {
    if (value instanceof kind) throw new NotSerializable(`Object of type ${kindOf(value)} is not JSON serializable`);
  }
  for (const key of Object.keys(value)) {
    check(key);
    check(value[key]);
  }
}

function kindOf(value) {
  return String(value.constructor?.name || "Object").slice(0, 100);
}
