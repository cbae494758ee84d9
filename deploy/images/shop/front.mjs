// The outermost of three tiers: calls the API by its name, and replies with the names of both replicas.
import { createServer, get } from "node:http";
import { identity } from "./identity.mjs";

const { API_URL = "http://api:8080/", PORT = "8000" } = process.env;
/** Timeout after which a call is repeated once. The name then resolves to another replica. */
const ANSWER_TIMEOUT_MS = 1_500;
const ATTEMPTS = 2;

const self = identity("web");
let isStopping = false;

/** Uses a new connection for each call, so that each may reach another replica. */
function askOnce() {
  return new Promise((resolve, reject) => {
    const request = get(API_URL, { agent: false, timeout: ANSWER_TIMEOUT_MS }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => {
        text += part;
      });
      response.on("end", () => resolve(text.trim()));
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error("the api does not answer")));
    request.on("error", reject);
  });
}

async function ask(attempts = ATTEMPTS) {
  try {
    return await askOnce();
  } catch (error) {
    if (attempts <= 1) throw error;
    return ask(attempts - 1);
  }
}

const server = createServer(async (request, response) => {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  if (isStopping) response.setHeader("connection", "close");
  if (request.url === "/healthz") {
    response.statusCode = isStopping ? 503 : 200;
    response.end(isStopping ? "stopping\n" : "ok\n");
    return;
  }
  try {
    response.end(`${self} → ${await ask()}\n`);
  } catch (error) {
    response.statusCode = 502;
    response.end(`${self}: ${error.message}\n`);
  }
});

/** Completes the requests in flight. The process ends with the last connection. */
function stop(signal) {
  if (isStopping) return;
  isStopping = true;
  console.log(`${self}: ${signal}, finishing what is under way`);
  server.close();
  server.closeIdleConnections();
}

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);
server.listen(Number(PORT), () => console.log(`${self}: listening on port ${PORT}, asking ${API_URL}`));
