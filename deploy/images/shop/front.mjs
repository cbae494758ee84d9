// The outermost of three tiers: asks the api by its name, and says both who asked and who answered.
import { createServer, get } from "node:http";
import { identity } from "./identity.mjs";

const { API_URL = "http://api:8080/", PORT = "8000" } = process.env;
/** An api that has not answered by then is asked once more: its name leads to another replica meanwhile. */
const ANSWER_TIMEOUT_MS = 1_500;
const ATTEMPTS = 2;

const self = identity("web");
let isStopping = false;

/** A connection of its own for each question, so that each may reach another replica. */
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

/** Requests under way are answered; the process ends with the last connection. */
function stop(signal) {
  if (isStopping) return;
  isStopping = true;
  console.log(`${self}: ${signal}, finishing what is under way`);
  server.close();
  server.closeIdleConnections();
}

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, stop);
server.listen(Number(PORT), () => console.log(`${self}: listening on port ${PORT}, asking ${API_URL}`));
