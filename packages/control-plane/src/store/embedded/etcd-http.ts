import { Agent, request as sendRequest } from "node:https";
import { type EtcdTls, MIN_TLS_VERSION } from "../etcd-tls.js";

/** A client of the HTTP endpoints of etcd, such as /health. Global `fetch` cannot present a certificate. */
export class EtcdHttpClient {
  readonly #agent: Agent;

  constructor({ authorities, certificate, key }: EtcdTls) {
    this.#agent = new Agent({
      keepAlive: true,
      minVersion: MIN_TLS_VERSION,
      ca: authorities,
      cert: certificate,
      key,
    });
  }

  /**
   * Returns the status of a GET request.
   *
   * @throws when etcd does not respond before the signal is aborted
   */
  getStatus(url: string, signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      const request = sendRequest(url, { agent: this.#agent, signal }, (response) => {
        resolve(response.statusCode ?? 0);
        // The connection is free for the next request once the body has been read.
        response.resume();
      });
      request.on("error", reject);
      request.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
