import { createReadStream } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { TLSSocket } from "node:tls";
import type { HttpAcceptor } from "@berth/proto/rpc";
import type { Logger } from "pino";
import { SCRIPT_PATH } from "./install-script.js";
import type { Installer } from "./installer.js";

/**
 * Maximum number of connections, to limit the network traffic and the disk reads of hosts that install berth at the
 * same time.
 */
const MAX_CONNECTIONS = 32;
/** Time after which a client that reads nothing is disconnected. */
const SILENCE_TIMEOUT_MS = 30_000;
/** Maximum duration of a connection. A package of 40 MB takes 10 minutes at 0.5 Mbit/s. */
const CONNECTION_TIMEOUT_MS = 10 * 60_000;

/**
 * Serves the script for installations, and the packages of this server. Anyone may download them: they contain no
 * secrets. Clients do not have to trust the certificate, since they compare checksums.
 */
export class InstallServer implements HttpAcceptor {
  readonly #installer: Installer;
  readonly #logger: Logger;
  readonly #http: Server;
  readonly #sockets = new Set<TLSSocket>();

  constructor(installer: Installer, logger: Logger) {
    this.#installer = installer;
    this.#logger = logger;
    this.#http = createServer((request, response) => void this.#answer(request, response));
    this.#http.maxRequestsPerSocket = 1;
  }

  accept(socket: TLSSocket): void {
    if (this.#sockets.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    const deadline = setTimeout(() => socket.destroy(), CONNECTION_TIMEOUT_MS);
    socket.setTimeout(SILENCE_TIMEOUT_MS, () => socket.destroy());
    this.#sockets.add(socket);
    socket.once("close", () => {
      clearTimeout(deadline);
      this.#sockets.delete(socket);
    });
    this.#http.emit("connection", socket);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (request.method !== "GET") {
        sendText(response, 405, "method not allowed; use GET\n");
      } else if (request.url === SCRIPT_PATH) {
        sendText(response, 200, await this.#installer.script());
      } else {
        await this.#sendPackage(request.url ?? "", response);
      }
    } catch (error) {
      this.#logger.warn({ err: error, path: request.url }, "cannot serve an installation");
      if (response.headersSent) {
        response.destroy();
      } else {
        sendText(response, 500, `${error instanceof Error ? error.message : String(error)}\n`);
      }
    }
  }

  async #sendPackage(url: string, response: ServerResponse): Promise<void> {
    const found = (await this.#installer.packages()).find(({ name }) => url === `/${name}`);
    if (found === undefined) {
      sendText(response, 404, `not found; try ${SCRIPT_PATH}\n`);
      return;
    }
    const { path, sizeBytes } = found;
    response.writeHead(200, {
      "content-type": "application/vnd.debian.binary-package",
      "content-length": sizeBytes,
    });
    await pipeline(createReadStream(path, { end: sizeBytes - 1 }), response);
  }
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
  response.end(text);
}
