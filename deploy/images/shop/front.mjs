// The front of the stack "tiers". It calls the API by its service name, and replies with the names of both replicas.
import { createServer, get } from "node:http";
import { identity } from "./identity.mjs";

const { API_URL = "http://api:8080/", PORT = "8000" } = process.env;
/** Timeout after which a call is retried. The API's name may then resolve to another replica. */
const CALL_TIMEOUT_MS = 1_500;
const MAX_ATTEMPTS = 4;

const self = identity("web");
let isStopping = false;

/** Calls the API on a new connection, so that each call may reach another replica. Returns the reply. */
function callApiOnce() {
  return new Promise((resolve, reject) => {
    const request = get(API_URL, { agent: false, timeout: CALL_TIMEOUT_MS }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => {
        text += part;
      });
      response.on("end", () => resolve(text.trim()));
      response.on("error", reject);
    });
    request.on("timeout", () =>
      request.destroy(new Error(`no reply from the API within ${CALL_TIMEOUT_MS} ms`)),
    );
    request.on("error", reject);
  });
}

async function callApi() {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await callApiOnce();
    } catch (error) {
      if (attempt >= MAX_ATTEMPTS) throw error;
    }
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
    response.end(`${self} → ${await callApi()}\n`);
  } catch (error) {
    response.statusCode = 502;
    response.end(`${self}: ${error.message}\n`);
  }
});

/** Stops accepting requests. The process exits once the requests in flight are complete. */
function stop(signal) {
  if (isStopping) return;
  isStopping = true;
  console.log(`${self}: received ${signal}, completing open requests`);
  server.close();
  server.closeIdleConnections();
}

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);
server.listen(Number(PORT), () => console.log(`${self}: listening on port ${PORT}, calling ${API_URL}`));
