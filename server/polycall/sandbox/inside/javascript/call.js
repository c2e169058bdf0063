// From the payload to the arguments of the function, by convention.

/**
 * Return the arguments; `lenient` leaves members out that the function has no parameter for. Throws TypeError for an input
 * of the wrong shape.
 */
export function bind(convention, fn, value, parameters, lenient = false) {
  switch (convention) {
    case "input":
      return [value];
    case "keywords":
      return byName(fn, members(value, "arguments by name"), lenient);
    case "parameters": {
      const given = members(value, "its parameters by name");
      return parameters.map((name) => (Object.hasOwn(given, name) ? given[name] : null));
    }
    default:
      throw new TypeError(`JavaScript functions cannot be called by the convention ${convention}`);
  }
}

function members(value, what) {
  if (value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    const kind = Array.isArray(value) ? "an array" : `a ${typeof value}`;
    throw new TypeError(`the input must be a JSON object (${what}), got ${kind}`);
  }
  return value;
}

/**
 * Return arguments for the parameters that a function names. The object as a whole is for one that takes it apart itself
 * (`({a, b}) => …`), whose names cannot be known (bound and native ones), or whose only parameter is no member of it.
 */
function byName(fn, given, lenient) {
  const names = namesOf(fn);
  if (names === null) return [given];
  if (names.length === 1 && !Object.hasOwn(given, names[0])) return [given];
  for (const name of Object.keys(given)) {
    if (!lenient && !names.includes(name)) throw new TypeError(`${fn.name || "the function"}() got an unexpected argument '${name}'`);
  }
  return names.map((name) => (Object.hasOwn(given, name) ? given[name] : undefined));
}

const SIMPLE = /^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u;

/** Return the names of a function's parameters, from its own text; null if they are not plain names, defaults aside. */
export function namesOf(fn) {
  const text = Function.prototype.toString.call(fn);
  const bare = /^\s*(?:async\s+)?([\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*)\s*=>/u.exec(text);
  if (bare !== null) return [bare[1]];
  const parameters = listed(text);
  if (parameters === null) return null;
  const names = parameters.map((parameter) => parameter.split("=", 1)[0].trim());
  return names.every((name) => SIMPLE.test(name)) ? names : null;
}

/** Return the texts between the commas of the first parenthesis, comments left out; null where there is none. */
function listed(text) {
  const parts = [];
  let [depth, part, index] = [0, "", text.indexOf("(")];
  if (index < 0 || text.includes("[native code]")) return null;
  for (; index < text.length; index++) {
    const [character, two] = [text[index], text.slice(index, index + 2)];
    if (two === "//" || two === "/*") {
      const end = text.indexOf(two === "//" ? "\n" : "*/", index + 2);
      if (end < 0) return null;
      index = two === "//" ? end : end + 1;
      continue;
    }
    if (`"'\``.includes(character)) {
      const start = index;
      for (index++; index < text.length && text[index] !== character; index++) if (text[index] === "\\") index++;
      part += text.slice(start, index + 1);
      continue;
    }
    if ("([{".includes(character) && depth++ === 0) continue;
    if (")]}".includes(character) && --depth === 0) {
      if (part.trim()) parts.push(part);
      return parts;
    }
    if (character === "," && depth === 1) {
      parts.push(part);
      part = "";
    } else part += character;
  }
  return null;
}
