"""Programs in JavaScript and TypeScript: what Deno's own walls and those around it make of them."""

from __future__ import annotations

from typing import Any

from polycall.domain import Language, Reason
from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import NOTHING, Either, Ends, Expectation, Program, Returns, program

__all__ = ["PROGRAMS"]

_PRELUDE = """
async function succeeded(attacks) {
  const done = []
  for (const [name, attack] of Object.entries(attacks)) {
    try { if (![false, null, undefined].includes(await attack())) done.push(name) } catch {}
  }
  return done
}
"""
_BRIEF = {"timeout_ms": 300}
_TIMED_OUT = Ends((Ending.TIMED_OUT,))
_OUT = Ends((Ending.OUT_OF_MEMORY,))
_REFUSED = Ends((Ending.NOT_SERIALIZABLE,), reason=Reason.OUTPUT_NOT_SERIALIZABLE)
_RAISED = Ends((Ending.RAISED,))
# without a cgroup there is no room for the heap of a worker
_NO_ROOM = Ends((Ending.SIGNALLED, Ending.OUT_OF_MEMORY))
# The process has broken its own harness: its run has no result. Never LOST, which would be our fault.
_ANY = Ends(tuple(set(Ending) - {Ending.LOST}))
_CLEAN = Returns("clean")


def _js(name: str, body: str, *, attack: str, held: Expectation = NOTHING, **rest: Any) -> Program:
    """``body`` is that of ``execute``; a program for a warm worker answers its second call with "clean"."""
    first = "  if (input.call === 2) return 'clean'\n" if rest.get("warm") and "then" in rest else ""
    text = f"{_PRELUDE}async function execute(input) {{\n{first}{body}\n}}\n"
    return program(f"JavaScript: {name}", text, attack=attack, held=held, **({"language": Language.JAVASCRIPT} | rest))


_WALLS = (
    _js(
        "no program is run",
        """
  const { spawnSync, execSync, fork, spawn } = require('node:child_process')
  const wait = (child) => new Promise((done, fail) => child.on('error', fail).on('exit', (code) => done(code === 0)))
  return succeeded({
    command: () => new Deno.Command('/bin/true').outputSync().success,
    spawn: () => new Deno.Command('/bin/sh', { args: ['-c', 'id'] }).spawn().status,
    spawnSync: () => spawnSync('/bin/true').status === 0,
    execSync: () => execSync('true'),
    node: () => wait(spawn('/bin/true')),
  })""",
        attack="programs and libraries of the host, by Deno",
    ),
    _js(
        "no library is loaded",
        """
  return succeeded({
    dlopen: () => Deno.dlopen('libc.so.6', { getpid: { parameters: [], result: 'i32' } }),
    pointer: () => Deno.UnsafePointer.create(4096n) && new Deno.UnsafePointerView(Deno.UnsafePointer.create(4096n)).getInt8(),
    process: () => process.dlopen({ exports: {} }, '/usr/lib/x86_64-linux-gnu/libc.so.6'),
    addon: () => require('/usr/lib/x86_64-linux-gnu/libm.so.6.node'),
    binding: () => process.binding('spawn_sync').spawn({ file: '/bin/true', args: [] }).pid,
    linked: () => process._linkedBinding('fs'),
  })""",
        attack="programs and libraries of the host, by Deno",
    ),
    _js(
        "no permission is had by asking for it",
        """
  const names = ['run', 'ffi', 'net', 'import']
  const granted = []
  for (const name of names) {
    for (const how of ['query', 'request']) if ((await Deno.permissions[how]({ name })).state === 'granted') granted.push(name)
  }
  for (const path of ['/', '/etc', '/proc']) {
    for (const name of ['read', 'write']) {
      if ((await Deno.permissions.request({ name, path })).state === 'granted') granted.push(name + path)
    }
  }
  return granted""",
        attack="programs and libraries of the host, by Deno",
    ),
    _js(
        "a worker has no more permissions than it",
        """
  const code = `self.onmessage = () => {
    const done = []
    for (const [name, attack] of Object.entries({
      read: () => Deno.readTextFileSync('/etc/passwd'),
      run: () => new Deno.Command('/bin/true').outputSync(),
      net: () => Deno.listen({ port: 0 }),
    })) { try { attack(); done.push(name) } catch {} }
    self.postMessage(done)
  }`
  const url = 'data:application/javascript,' + encodeURIComponent(code)
  const ask = (options) => new Promise((done) => {
    const worker = new Worker(url, { type: 'module', ...options })
    worker.onmessage = ({ data }) => { worker.terminate(); done(data) }
    worker.onerror = (event) => { event.preventDefault(); done([]) }
    worker.postMessage(1)
  })
  return await ask({})""",
        attack="programs and libraries of the host, by Deno",
        held=Either((NOTHING, _NO_ROOM)),
    ),
    _js(
        "nothing is imported from elsewhere",
        """
  const urls = ['https://deno.land/std/version.ts', 'http://127.0.0.1:' + input.port + '/x.js', 'npm:left-pad', 'jsr:@std/path',
    'file:///etc/passwd', 'file:///proc/self/environ', 'blob:null/0', 'node:no-such', 'ext:core/mod.js', 'file://' + input.files[0]]
  const attacks = Object.fromEntries(urls.map((url) => [url, () => import(url)]))
  attacks.json = () => import('file://' + input.files[0], { with: { type: 'json' } })
  attacks.text = () => import('file://' + input.files[0], { with: { type: 'text' } })
  attacks.bytes = () => import('file:///etc/passwd', { with: { type: 'bytes' } })
  attacks.require = () => require(input.files[0])
  attacks.resolve = () => require('/etc/passwd')
  return succeeded(attacks)""",
        attack="files of the host, by Deno",
    ),
    _js(
        "files beside the server do not exist",
        """
  const fs = require('node:fs')
  const found = []
  for (const path of [...input.files, ...input.theirs, '/etc/shadow', '/etc/passwd', '/proc/1/environ', '/proc/self/environ',
    '/proc/self/maps', '/proc/self/mem', '/proc/' + input.server + '/environ', '/proc/' + input.neighbour + '/environ']) {
    for (const [name, read] of Object.entries({
      deno: () => Deno.readTextFileSync(path), node: () => fs.readFileSync(path, 'utf8'),
      fd: () => fs.readFileSync(fs.openSync(path)), stat: () => Deno.statSync(path).size >= 0,
      link: () => { Deno.linkSync(path, 'linked'); return Deno.readTextFileSync('linked') },
      symlink: () => { fs.symlinkSync(path, 'sym' + found.length); return fs.readFileSync('sym' + found.length) },
      copy: () => { Deno.copyFileSync(path, 'copied'); return Deno.readTextFileSync('copied') },
      up: () => Deno.readTextFileSync('../../../../../../../..' + path),
    })) { try { if (read()) found.push([name, path]) } catch {} }
  }
  return found""",
        attack="files of the host, by Deno",
    ),
    _js(
        "nothing of the system is written",
        """
  const fs = require('node:fs')
  const attacks = {}
  for (const path of ['/x', '/etc/x', '/usr/x', '/opt/deno/x', '/opt/deno/serve/serve.js', '/proc/self/oom_score_adj', '/dev/x']) {
    attacks['deno ' + path] = () => (Deno.writeTextFileSync(path, 'x'), true)
    attacks['node ' + path] = () => (fs.appendFileSync(path, 'x'), true)
    attacks['remove ' + path] = () => (Deno.removeSync(path), true)
  }
  return succeeded(attacks)""",
        attack="files of the host, by Deno",
    ),
    _js(
        "no socket leads out",
        """
  const [net, dgram, dns, http] = ['net', 'dgram', 'dns', 'http'].map((name) => require('node:' + name))
  const connected = (socket) => new Promise((done, fail) => socket.on('connect', () => done(true)).on('error', fail))
  return succeeded({
    fetch: () => fetch('http://127.0.0.1:' + input.port),
    metadata: () => fetch('http://169.254.169.254/latest', { signal: AbortSignal.timeout(300) }),
    connect: () => Deno.connect({ port: input.port }),
    unix: () => Deno.connect({ transport: 'unix', path: input.socket }),
    listen: () => Deno.listen({ port: 0 }),
    udp: () => Deno.listenDatagram({ port: 0, transport: 'udp' }),
    resolve: () => Deno.resolveDns('example.com', 'A'),
    net: () => connected(net.connect(input.port, '127.0.0.1')),
    path: () => connected(net.connect(input.socket)),
    dgram: () => new Promise((done, fail) => dgram.createSocket('udp4').on('error', fail).bind(0, () => done(true))),
    lookup: () => dns.promises.lookup('example.com'),
    http: () => new Promise((done, fail) => http.get('http://127.0.0.1:' + input.port, done).on('error', fail)),
    websocket: () => new Promise((done, fail) => {
      const socket = new WebSocket('ws://127.0.0.1:' + input.port)
      socket.onopen = done
      socket.onerror = fail
    }),
    serve: () => Deno.serve({ port: 0, onListen() {} }, () => new Response('x')) && false,
  })""",
        attack="network, by Deno",
        held=Either((NOTHING, _RAISED)),
    ),
    _js(
        "nobody else is signalled, nor its own identity changed",
        """
  return succeeded({
    kill: () => (Deno.kill(input.server, 'SIGURG'), true),
    neighbour: () => (process.kill(input.neighbour, 0), true),
    all: () => (process.kill(-1, 0), input.level < 2),
    parent: () => process.kill(process.ppid || input.server, 0) && process.ppid > 0,
    setuid: () => (process.setuid(0), true),
    setgid: () => (process.setgid(0), true),
    priority: () => (require('node:os').setPriority(-5), true),
    debugger: () => (require('node:inspector').open(0, '127.0.0.1'), true),
  })""",
        attack="programs and libraries of the host, by Deno",
    ),
    _js(
        "the environment has nothing but its own",
        """
  const known = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'NO_COLOR', 'TZ']
  const seen = [...Object.keys(Deno.env.toObject()), ...Object.keys(process.env)]
  return [...new Set(seen)].filter((name) => !known.includes(name))""",
        attack="files of the host, by Deno",
    ),
)

_MEMORY = (
    _js(
        "objects are bounded",
        "  const held = []\n  for (;;) held.push({ a: held.length, b: [held.length, 'x' + held.length] })",
        attack="memory, by V8",
        held=_OUT,
    ),
    _js(
        "a string that doubles is bounded",
        "  let text = 'x'.repeat(1000)\n  const held = []\n  for (;;) { held.push((text + held.length).split('').join('y')) }",
        attack="memory, by V8",
        held=_OUT,
    ),
    _js(
        "buffers outside the heap are bounded",
        "  const held = []\n  for (;;) held.push(new Uint8Array(8 << 20).fill(1))",
        attack="memory, by V8",
        held=Ends((Ending.OUT_OF_MEMORY, Ending.RAISED)),
    ),
    _js(
        "shared buffers are bounded",
        "  const held = []\n  for (;;) held.push(new Uint8Array(new SharedArrayBuffer(8 << 20)).fill(1))",
        attack="memory, by V8",
        held=Ends((Ending.OUT_OF_MEMORY, Ending.RAISED)),
    ),
    _js(
        "the memory of WebAssembly is bounded",
        """
  const held = []
  for (;;) {
    const memory = new WebAssembly.Memory({ initial: 128, maximum: 65536 })
    new Uint8Array(memory.buffer).fill(1)
    held.push(memory)
  }""",
        attack="memory, by V8",
        held=Ends((Ending.OUT_OF_MEMORY, Ending.RAISED)),
    ),
    _js(
        "one enormous buffer is refused",
        "  return new ArrayBuffer(2 ** 40).byteLength",
        attack="memory, by V8",
        held=Ends((Ending.RAISED, Ending.OUT_OF_MEMORY)),
    ),
    _js(
        "workers are counted, and what they hold is too",
        """
  const url = 'data:application/javascript,' + encodeURIComponent(
    `const held = []; setInterval(() => held.push(new Uint8Array(4 << 20).fill(1)), 1)`)
  for (let n = 0; n < 200; n++) new Worker(url, { type: 'module' }).onerror = (event) => event.preventDefault()
  await new Promise(() => setTimeout(() => {}, 60000))""",
        attack="memory, by V8",
        held=Ends(
            (
                Ending.OUT_OF_MEMORY,
                Ending.RAISED,
                Ending.SIGNALLED,
                Ending.TOO_MANY_PROCESSES,
                Ending.TIMED_OUT,
                Ending.EXITED,
            )
        ),
        limits={"timeout_ms": 3000},
    ),
)

_ENDLESS = (
    _js(
        "a loop without end is ended",
        "  for (;;);",
        attack="run that will not end, by Deno",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    _js(
        "microtasks without end are ended",
        "  const again = () => Promise.resolve().then(again)\n  await again()",
        attack="run that will not end, by Deno",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    _js(
        "waiting for an atomic that nobody wakes is ended",
        "  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
        attack="run that will not end, by Deno",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    _js(
        "an interval that goes on is ended",
        "  await new Promise(() => setInterval(() => {}, 10))",
        attack="run that will not end, by Deno",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    _js(
        "a promise that nobody can settle is told",
        "  await new Promise(() => {})",
        attack="run that will not end, by Deno",
        held=_RAISED,
    ),
    _js(
        "an expression that backtracks without end is ended",
        "  return /^(a+)+$/.test('a'.repeat(60) + 'b') && []",
        attack="run that will not end, by Deno",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    _js(
        "a finally that never returns is ended",
        "  try { throw new Error('x') } finally { for (;;) {} }",
        attack="run that will not end, by Deno",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    _js(
        "signals that are caught end nothing but themselves",
        "  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT']) try { Deno.addSignalListener(name, () => {}) } catch {}\n"
        "  for (;;);",
        attack="run that will not end, by Deno",
        held=_TIMED_OUT,
        limits=_BRIEF,
    ),
    _js(
        "a flood of output is ended",
        "  for (;;) console.log('x'.repeat(65536))",
        attack="flood of output, by Deno",
        held=Ends((Ending.OUTPUT_TOO_LARGE,)),
    ),
    _js(
        "output that is only promised is bounded",
        "  for (;;) process.stdout.write('x'.repeat(65536))",
        attack="flood of output, by Deno",
        held=Ends((Ending.OUTPUT_TOO_LARGE, Ending.OUT_OF_MEMORY)),
    ),
)

_ENDINGS = (
    _js(
        "leaving in the middle is told with its code",
        "  Deno.exit(7)",
        attack="crash, abort, exit, by Deno",
        held=Ends((Ending.EXITED,), exit_code=7),
        warm=True,
        then=_CLEAN,
    ),
    _js(
        "leaving by another name is told",
        "  setTimeout(() => process.exit(9), 1)\n  await new Promise((done) => setTimeout(done, 5000))",
        attack="crash, abort, exit, by Deno",
        held=Ends((Ending.EXITED,), exit_code=9),
    ),
    _js(
        "leaving with zero is no result",
        "  process.exitCode = 0\n  Deno.exit()",
        attack="crash, abort, exit, by Deno",
        held=Ends((Ending.EXITED,), exit_code=0, reason=Reason.USER_EXIT),
    ),
    _js(
        "abort is told as a signal",
        "  process.abort()",
        attack="crash, abort, exit, by Deno",
        held=Ends((Ending.SIGNALLED,)),
    ),
    *(
        _js(f"what is thrown may be {name}", f"  throw {what}", attack="hostile texts, by Deno", held=_RAISED)
        for name, what in {
            "nothing": "undefined",
            "null": "null",
            "a symbol": "Symbol('x')",
            "a proxy that throws": "new Proxy(new Error('x'), { get() { throw 1 }, has() { throw 2 }, getPrototypeOf() { throw 3 } })",
            "an error whose stack throws": "Object.defineProperty(new Error('x'), 'stack', { get() { throw 4 } })",
            "an error that is its own cause": "(() => { const e = new Error('x'); e.cause = e; return e })()",
            "megabytes": "new Error('x'.repeat(1 << 22))",
            "an attack on a terminal": r"new Error('\u001b]0;owned\u0007\u001b[2J\u0000\ud800')",
        }.items()
    ),
    _js(
        "a stack without end is an error of the code",
        "  const down = () => down() + 1\n  return down()",
        attack="crash, abort, exit, by Deno",
        held=_RAISED,
    ),
)

_VALUES = tuple(
    _js(name, f"  {body}", attack="values that are no JSON, by Deno", held=held)
    for name, body, held in (
        ("a number that is none is refused", "return [NaN]", _REFUSED),
        ("an infinite number is refused", "return { x: -Infinity }", _REFUSED),
        ("a big integer is refused", "return 10n ** 100n", _REFUSED),
        ("a cycle is refused", "const a = []; a.push(a); return a", _REFUSED),
        ("a lone surrogate is refused", "return '\\ud800'", _REFUSED),
        ("a map is refused", "return new Map([[1, 2]])", _REFUSED),
        ("what nests too deep is refused", "let a = []; for (let n = 0; n < 1e5; n++) a = [a]; return a", _REFUSED),
        (
            "a result beyond its limit is refused",
            "return 'x'.repeat(1 << 21)",
            Ends((Ending.RESULT_TOO_LARGE,), reason=Reason.RESULT_TOO_LARGE),
        ),
        (
            "an object with getters that leave is an exit",
            "return { get a() { Deno.exit(3) } }",
            Ends((Ending.EXITED,), exit_code=3),
        ),
        ("a promise of a promise without end is told", "return { then() {} }", _RAISED),
        (
            "a proxy that lies is what it says to JSON",
            "return new Proxy({}, { ownKeys: () => { throw new Error('x') } })",
            _ANY,
        ),
        ("an object that writes raw JSON is checked", "return { toJSON: () => NaN }", _REFUSED),
    )
)


def _breaking(name: str, body: str, *, held: Expectation = _ANY, then: Expectation = _ANY) -> Program:
    return _js(
        name,
        body,
        attack="harness in the same process, by Deno",
        held=held,
        warm=True,
        then=then,
        limits={"timeout_ms": 1500},
    )


_HARNESS = (
    _breaking(
        "JSON that writes nonsense is refused",
        "  JSON.stringify = () => '{nonsense'\n  return 1",
        held=Ends((Ending.NOT_SERIALIZABLE, Ending.EXITED, Ending.RAISED, Ending.SIGNALLED)),
    ),
    _breaking(
        "every object says that it is the answer",
        "  for (const [name, value] of Object.entries({ kind: 'result', nonce: '0', odd: false, toJSON: () => 666 })) {\n"
        "    Object.defineProperty(Object.prototype, name, { value, configurable: true, writable: true })\n  }\n  return 1",
    ),
    _breaking(
        "setters on every object",
        "  for (const name of ['kind', 'nonce', 'header', 'payload', 'files', '0', 'length', 'then', 'get', 'value', 'writable']) {\n"
        "    Object.defineProperty(Object.prototype, name, { set() { throw new Error('set') }, get() { return undefined }, configurable: true })\n"
        "  }\n  return 1",
    ),
    _breaking(
        "arrays, maps and iterators that do nothing",
        "  Array.prototype[Symbol.iterator] = function* () {}\n"
        "  Map.prototype.get = Map.prototype.set = Array.prototype.push = () => undefined\n  return [1]",
    ),
    _breaking(
        "promises that never come",
        "  Promise.race = Promise.all = Promise.resolve = () => new Promise(() => {})\n"
        "  Promise.prototype.then = () => new Promise(() => {})\n  return 1",
    ),
    _breaking(
        "bytes that are others",
        "  Uint8Array.prototype.set = function () {}\n"
        "  TextEncoder.prototype.encode = () => new Uint8Array(1 << 20).fill(255)\n"
        "  DataView.prototype.setUint32 = function () {}\n  return 1",
    ),
    _breaking(
        "nothing global any more",
        "  for (const name of Object.getOwnPropertyNames(globalThis)) try { delete globalThis[name] } catch {}\n  return 1",
    ),
    _breaking(
        "stacks that run code",
        "  Error.prepareStackTrace = () => { throw new Error('x') }\n"
        "  Object.defineProperty(Error, 'stackTraceLimit', { get() { throw new Error('y') } })\n  throw new Error('z')",
    ),
    _breaking(
        "Deno that does not leave",
        "  Deno.exit = () => {}\n  process.exit = process.reallyExit = () => {}\n  throw new Error('x')",
        held=_ANY,
    ),
    _breaking(
        "everything frozen",
        "  for (const thing of [Object, Array, Map, Promise, Function, Uint8Array, String, JSON, globalThis.Deno]) {\n"
        "    try { Object.freeze(thing); Object.freeze(thing.prototype) } catch {}\n  }\n  return 1",
    ),
    _breaking(
        "frames that it writes itself are refused",
        """
  const fs = require('node:fs')
  const text = JSON.stringify({ kind: 'result', nonce: '0'.repeat(16), odd: false })
  const frame = Buffer.concat([Buffer.from(new Uint32Array([text.length, 1]).buffer), Buffer.from(text), Buffer.from('1')])
  for (let fd = 3; fd < 60; fd++) try { fs.writeSync(fd, frame) } catch {}
  return 'mine'""",
        held=Either((Returns("mine"), _REFUSED)),
    ),
    _breaking(
        "descriptors that it closes are its own loss",
        "  const fs = require('node:fs')\n  for (let fd = 0; fd < 60; fd++) try { fs.closeSync(fd) } catch {}\n  return 'mine'",
    ),
    _breaking(
        "an error that nobody catches, after the answer",
        "  setTimeout(() => { throw new Error('late') }, 1)\n  Promise.reject(new Error('unhandled'))\n  return 'first'",
        held=Ends((Ending.RETURNED, Ending.RAISED)),
    ),
    _breaking(
        "a timer that leaves, after the answer",
        "  setTimeout(() => Deno.exit(4), 20)\n  return 'first'",
        held=Either((Returns("first"), Ends((Ending.EXITED,), exit_code=4))),
        then=Either((_CLEAN, Ends((Ending.EXITED,), exit_code=4))),
    ),
    _breaking(
        "an interval that prints, after the answer",
        "  setInterval(() => console.log('between'), 1)\n  return 'first'",
        held=Returns("first"),
        then=_CLEAN,
    ),
    _breaking(
        "a worker that goes on, after the answer",
        "  new Worker('data:application/javascript,for(;;);', { type: 'module' })\n  return 'first'",
        held=Either((Returns("first"), _NO_ROOM)),
        then=_CLEAN,
    ),
    _breaking(
        "another working directory and environment",
        "  Deno.mkdirSync('elsewhere')\n  Deno.chdir('elsewhere')\n  Deno.env.set('TMPDIR', '/nowhere')\n  return 'first'",
        held=Returns("first"),
        then=_CLEAN,
    ),
    _breaking(
        "a work directory that is gone",
        "  const here = Deno.cwd()\n  Deno.chdir('..')\n  Deno.removeSync(here, { recursive: true })\n  return 'first'",
    ),
    _breaking(
        "listeners for everything that happens",
        "  for (const name of ['error', 'unhandledrejection', 'beforeunload', 'unload', 'rejectionhandled']) {\n"
        "    addEventListener(name, (event) => { event.stopImmediatePropagation(); throw new Error('again') }, { capture: true })\n"
        "  }\n  throw new Error('first')",
    ),
)

_TYPESCRIPT = (
    _js(
        "TypeScript is held like JavaScript",
        """
  enum Path { passwd = '/etc/passwd', shadow = '/etc/shadow' }
  const read = (path: Path): (() => string) => () => Deno.readTextFileSync(path) as string
  return succeeded({ passwd: read(Path.passwd), shadow: read(Path.shadow), run: () => new Deno.Command('id').outputSync() })""",
        attack="files of the host, by Deno",
        language=Language.TYPESCRIPT,
    ),
    _js(
        "TypeScript that nests without end is an error of the code",
        f"  const a: {'Array<' * 20_000}number{'>' * 20_000} = []\n  return 1",
        attack="crash, abort, exit, by Deno",
        held=Ends((Ending.RAISED, Ending.SIGNALLED, Ending.EXITED, Ending.OUT_OF_MEMORY)),
        language=Language.TYPESCRIPT,
    ),
)

PROGRAMS = (*_WALLS, *_MEMORY, *_ENDLESS, *_ENDINGS, *_VALUES, *_HARNESS, *_TYPESCRIPT)
