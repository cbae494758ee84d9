import { Agent as HttpAgent, type RequestOptions, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { type EtcdTls, MIN_TLS_VERSION } from "../etcd-tls.js";

/** A member list has about 300 bytes for each member. */
const MAX_RESPONSE_BYTES = 64 * 1024;

export interface HttpResponse {
  readonly status: number;
  readonly body: string;
}

/** A client of the HTTP endpoints of etcd, such as /health. Global `fetch` cannot present a certificate. */
export class EtcdHttpClient {
  readonly #request: typeof requestHttp;
  readonly #agent: HttpAgent;

  constructor(tls: EtcdTls | undefined) {
    this.#request = tls === undefined ? requestHttp : requestHttps;
    this.#agent =
      tls === undefined
        ? new HttpAgent({ keepAlive: true })
        : new HttpsAgent({
            keepAlive: true,
            minVersion: MIN_TLS_VERSION,
            ca: tls.authorities,
            cert: tls.certificate,
            key: tls.key,
          });
  }

  /** @throws when etcd does not answer before the signal aborts, or with too many bytes */
  get(url: string, signal: AbortSignal): Promise<HttpResponse> {
    const options: RequestOptions = { agent: this.#agent, signal };
    return new Promise((resolve, reject) => {
      const request = this.#request(url, options, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          body += chunk;
          if (body.length > MAX_RESPONSE_BYTES) response.destroy(new Error("the response is too long"));
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
        response.on("error", reject);
      });
      request.on("error", reject);
      request.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
