// What is told of an exception: the program's own frames and lines, no path of ours.

import { LoadFailed, unflagged } from "./program.js";

// What a face shows of a message, and what a deep recursion or a long chain of causes can make of a stack.
const MESSAGE = 64 << 10;
const STACK = 256 << 10;
const CUT = "\n[...]\n";
const CAUSES = 8;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Return type, module, message and traceback of whatever was thrown by code below a directory. */
export function describe(thrown, root) {
  let report;
  try {
    if (thrown instanceof LoadFailed) report = { type: thrown.name, message: thrown.message, traceback: thrown.traceback };
    else report = thrown instanceof Error || thrown instanceof DOMException
      ? { type: typeOf(thrown), message: messageOf(thrown), traceback: chain(thrown, root) }
      : describeValue(thrown);
  } catch {
    report = { type: "Error", message: "<an exception whose text could not be made>", traceback: "" };
  }
  const type = wellFormed(report.type).slice(0, 256);
  const message = cut(wellFormed(report.message), MESSAGE);
  const traceback = cut(wellFormed(report.traceback || `${type}: ${message}\n`), STACK);
  return JSON.stringify({ type, module: "", message, traceback });
}

/** Return what an error is called: the name it was given, or else its class's. */
function typeOf(error) {
  const made = error.constructor;
  const named = Object.hasOwn(error, "name") || (typeof made === "function" && Object.hasOwn(made.prototype, "name"));
  const name = named ? error.name : made?.name;
  return typeof name === "string" && name ? name : "Error";
}

function messageOf(error) {
  const message = String(error.message);
  return error instanceof Deno.errors.NotCapable ? unflagged(message) : message;
}

// JavaScript throws anything; what is not an Error has no stack
function describeValue(thrown) {
  const type = thrown === null || thrown === undefined ? String(thrown) : thrown.constructor?.name || "Object";
  const message = typeof thrown === "string" ? thrown : Deno.inspect(thrown, { depth: 4, colors: false });
  return { type: String(type), message, traceback: `Uncaught ${message}\n` };
}

function chain(error, root) {
  const parts = [`${titleOf(error)}\n${framesOf(error, root)}`];
  const seen = new Set([error]);
  let cause = error.cause;
  while (cause instanceof Error && !seen.has(cause) && seen.size <= CAUSES) {
    seen.add(cause);
    parts.push(`Caused by ${titleOf(cause)}\n${framesOf(cause, root)}`);
    cause = cause.cause;
  }
  if (error instanceof AggregateError) {
    for (const other of error.errors.slice(0, CAUSES)) {
      if (other instanceof Error) parts.push(`One of them: ${titleOf(other)}\n${framesOf(other, root)}`);
    }
  }
  return parts.join("");
}

function titleOf(error) {
  const message = messageOf(error);
  return message ? `${typeOf(error)}: ${message}` : typeOf(error);
}

/** Return the lines of a stack that are the program's, with paths relative to its root. */
function framesOf(error, root) {
  if (typeof error.stack !== "string") return "";
  const url = new URL(`file://${root}/`).href;
  const kept = [];
  let native = [];
  for (const line of error.stack.split("\n")) {
    if (!line.startsWith("    at ")) continue;
    if (line.includes(url)) {
      // a script and its exports are objects of ours
      const shown = line.replaceAll(url, "").replace(/at Object\.<anonymous> \((.*)\)$/, "at $1").replace(/at Object\./, "at ");
      kept.push(...native, shown);
      native = [];
    } else if (line.endsWith("(<anonymous>)") && kept.length) {
      native.push(line); // Array.map and the like, between two frames of the program
    } else {
      native = [];
    }
  }
  return kept.map((line) => `${line}\n`).join("");
}

function wellFormed(text) {
  return String(text).toWellFormed();
}

function cut(text, most) {
  const data = encoder.encode(text);
  if (data.length <= most) return text;
  const half = (most >> 1) - CUT.length;
  const whole = (part) => decoder.decode(part).replaceAll("\ufffd", "");
  return whole(data.subarray(0, half)) + CUT + whole(data.subarray(data.length - half));
}
