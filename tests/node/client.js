// A client made from the protos alone: node client.js ADDRESS KEY PROTOS FUNCTION
// Prints one JSON object of what it got.
"use strict";

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, key, protos, fn] = process.argv.slice(2);
const EXACT = '{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}';

const definition = loader.loadSync("polycall/v1/execution_service.proto", {
  includeDirs: [protos],
  keepCase: true,
  enums: String,
  longs: String,
  oneofs: true,
});
const { ExecutionService } = grpc.loadPackageDefinition(definition).polycall.v1;
const client = new ExecutionService(address, grpc.credentials.createInsecure());

const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${key}`);
metadata.set("x-request-id", "node-1");
const deadline = () => ({ deadline: Date.now() + 30000 });

function call(method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, metadata, deadline(), (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function stream(request) {
  return new Promise((resolve, reject) => {
    const events = [];
    const answers = client.StreamExecution(request, metadata, deadline());
    answers.on("data", (answer) => events.push(answer.event));
    answers.on("error", reject);
    answers.on("end", () => resolve(events));
  });
}

async function refused(method, request) {
  try {
    await call(method, request);
  } catch (error) {
    return {
      code: error.code,
      details: error.details,
      request_id: error.metadata.get("x-request-id")[0],
      status: error.metadata.get("grpc-status-details-bin")[0].toString("base64"),
    };
  }
  throw new Error(`${method} did not fail`);
}

async function main() {
  const executed = await call("Execute", {
    code: "def execute(input):\n    print('é')\n    return input",
    input_json: EXACT,
    limits: { timeout: { seconds: 5 }, memory_mib: 64 },
  });
  const raised = await call("Execute", { code: "def execute(input):\n    raise KeyError('no')" });
  const ran = await call("RunFunction", { function: fn, input_json: EXACT });
  const accepted = await call("Call", { function: fn, input_json: '{"a": 1}' });
  const ended = await call("WaitExecution", { name: accepted.name, timeout: { seconds: 20 } });
  const events = await stream({ run_function: { function: fn, input_json: "{}" } });
  const wrong = await refused("Execute", { code: "" });
  const unknown = await refused("RunFunction", { function: "packages/no-such/functions/f" });
  console.log(JSON.stringify({ exact: EXACT, executed, raised, ran, accepted, ended, events, wrong, unknown }));
}

main()
  .catch((error) => {
    console.error(error);
    process.exitCode = 1;
  })
  .finally(() => client.close());
