import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type FakeBody, FakeContainer } from "./fake-container.js";
import { FakeExec } from "./fake-exec.js";
import { FakeNetwork, type FakeNetworkBody } from "./fake-network.js";
import { Faults, injectFault } from "./faults.js";

interface Call {
  readonly method: string;
  /** Path without the API version. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
  readonly response: ServerResponse;
}

type Route = readonly [method: string, path: RegExp, handle: (call: Call, match: string) => void];

/** A server of Docker's API on a Unix socket. Its containers have no processes, and it injects faults on demand. */
export class FakeEngine {
  readonly containers = new Map<string, FakeContainer>();
  readonly networks = new Map<string, FakeNetwork>();
  readonly images = new Set<string>(["busybox:test"]);
  /** The digests of tags in registries, by image. */
  readonly registry = new Map<string, string>();
  /** Names of volumes of the local driver. */
  readonly volumes: string[] = [];
  readonly faults = new Faults();
  /** All received requests, as "METHOD /path". */
  readonly requests: string[] = [];
  /** Progress messages that each pull returns. */
  pullLines: object[] = [{ status: "Pulling from nothing" }, { error: "manifest unknown" }];
  version: object = { Version: "20.10.24", ApiVersion: "1.41", MinAPIVersion: "1.12" };
  readonly execs = new Map<string, FakeExec>();
  readonly #listeners = new Set<ServerResponse>();
  readonly #server: Server = createServer((request, response) => void this.#serve(request, response));

  async listen(socketPath: string): Promise<void> {
    this.#server.on("upgrade", (request, connection) => {
      const [, id = ""] = /\/exec\/(.+)\/start$/.exec(request.url?.split("?")[0] ?? "") ?? [];
      const exec = this.execs.get(id);
      if (exec === undefined) connection.destroy();
      else exec.attach(connection);
    });
    this.#server.listen(socketPath);
    await once(this.#server, "listening");
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** Closes all connections, as a daemon that crashes does. */
  dropConnections(): void {
    this.#server.closeAllConnections();
  }

  /** Writes to all clients that stream events, one chunk for each argument. */
  emit(...chunks: readonly string[]): void {
    for (const listener of this.#listeners) for (const chunk of chunks) listener.write(chunk);
  }

  readonly #routes: readonly Route[] = [
    ["GET", /^\/_ping$/, ({ response }) => response.end("OK")],
    ["GET", /^\/version$/, (call) => send(call, 200, this.version)],
    ["GET", /^\/info$/, (call) => send(call, 200, { Name: "fake", NCPU: 4, MemTotal: 1e9, OSType: "linux" })],
    ["GET", /^\/events$/, (call) => this.#events(call)],
    ["GET", /^\/volumes$/, (call) => send(call, 200, { Volumes: this.volumes.map((Name) => ({ Name })) })],
    ["GET", /^\/networks$/, (call) => send(call, 200, this.#networks())],
    ["POST", /^\/networks\/create$/, (call) => this.#createNetwork(call)],
    ["POST", /^\/networks\/(.+)\/connect$/, (call, name) => this.#connect(call, name)],
    ["DELETE", /^\/networks\/(.+)$/, (call, id) => this.#removeNetwork(call, id)],
    ["GET", /^\/images\/(.+)\/json$/, (call, image) => this.#image(call, decodeURIComponent(image))],
    ["GET", /^\/distribution\/(.+)\/json$/, (call, image) => this.#distribution(call, image)],
    ["POST", /^\/images\/create$/, (call) => this.#pull(call)],
    ["GET", /^\/containers\/json$/, (call) => this.#list(call)],
    ["POST", /^\/containers\/create$/, (call) => this.#create(call)],
    [
      "GET",
      /^\/containers\/(.+)\/json$/,
      this.#on((container, call) => send(call, 200, container.inspect())),
    ],
    [
      "GET",
      /^\/containers\/(.+)\/logs$/,
      this.#on((container, { response }) => response.end(container.framedLog())),
    ],
    ["POST", /^\/containers\/(.+)\/exec$/, this.#on((container, call) => this.#exec(container, call))],
    ["POST", /^\/exec\/(.+)\/resize$/, (call) => send(call, 201)],
    ["GET", /^\/exec\/(.+)\/json$/, (call, id) => send(call, 200, this.execs.get(id)?.inspect() ?? {})],
    ["POST", /^\/containers\/(.+)\/start$/, this.#on((container, call) => this.#start(container, call))],
    [
      "POST",
      /^\/containers\/(.+)\/(?:stop|kill)$/,
      this.#on((container, call) => this.#stop(container, call)),
    ],
    ["DELETE", /^\/containers\/(.+)$/, this.#on((container, call) => this.#remove(container, call))],
  ];

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://docker");
    const path = decodeURIComponent(url.pathname.replace(/^\/v[\d.]+/, ""));
    const method = request.method ?? "GET";
    this.requests.push(`${method} ${path}`);
    const fault = this.faults.take(method, path);
    if (fault !== undefined && injectFault(fault, response)) return;
    const body = await readBody(request);
    if (fault !== undefined) response.write = response.end = () => Boolean(response.destroy()) as never;
    for (const [routeMethod, pattern, handle] of this.#routes) {
      const match = routeMethod === method ? pattern.exec(path) : null;
      if (match) return handle({ method, path, query: url.searchParams, body, response }, match[1] ?? "");
    }
    send({ response }, 404, { message: "page not found" });
  }

  #on(handle: (container: FakeContainer, call: Call) => void): Route[2] {
    return (call, nameOrId) => {
      const container = [...this.containers.values()].find(
        ({ id, name }) => id === nameOrId || name === nameOrId,
      );
      if (container) handle(container, call);
      else send(call, 404, { message: `No such container: ${nameOrId}` });
    };
  }

  #events({ response }: Call): void {
    response.writeHead(200, { "Content-Type": "application/json" });
    response.flushHeaders();
    this.#listeners.add(response);
    response.on("close", () => this.#listeners.delete(response));
  }

  #image(call: Call, image: string): void {
    if (this.images.has(image)) send(call, 200, { Id: image, RepoDigests: [] });
    else send(call, 404, { message: `No such image: ${image}` });
  }

  #distribution(call: Call, image: string): void {
    const digest = this.registry.get(image);
    if (digest === undefined) send(call, 404, { message: `manifest unknown: ${image}` });
    else send(call, 200, { Descriptor: { digest }, Platforms: [] });
  }

  #pull({ query, response }: Call): void {
    const lines = this.pullLines;
    if (!lines.some((line) => "error" in line))
      this.images.add(`${query.get("fromImage")}:${query.get("tag")}`);
    response.end(lines.map((line) => `${JSON.stringify(line)}\r\n`).join(""));
  }

  #list(call: Call): void {
    const { label = [] }: { label?: string[] } = JSON.parse(call.query.get("filters") ?? "{}");
    const matching = [...this.containers.values()].filter(({ labels }) =>
      label.every((name) => name in labels),
    );
    send(
      call,
      200,
      matching.map((container) => container.summary()),
    );
  }

  #create(call: Call): void {
    const body = call.body as FakeBody;
    const name = call.query.get("name") ?? "";
    const existing = [...this.containers.values()].find((container) => container.name === name);
    if (!this.images.has(body.Image)) {
      send(call, 404, { message: `No such image: ${body.Image}` });
    } else if (existing) {
      const message = `Conflict. The container name "/${name}" is already in use by container "${existing.id}".`;
      send(call, 409, { message });
    } else {
      const container = new FakeContainer(name, body);
      this.containers.set(container.id, container);
      this.#join(container, body.HostConfig?.NetworkMode ?? "");
      send(call, 201, { Id: container.id, Warnings: [] });
    }
  }

  #networks(): object[] {
    return [...this.networks.values()].map((network) => network.summary());
  }

  #createNetwork(call: Call): void {
    const network = new FakeNetwork(call.body as FakeNetworkBody);
    if ([...this.networks.values()].some(({ name }) => name === network.name)) {
      send(call, 409, { message: `network with name ${network.name} already exists` });
    } else {
      this.networks.set(network.id, network);
      send(call, 201, { Id: network.id, Warning: "" });
    }
  }

  #removeNetwork(call: Call, id: string): void {
    const network = this.networks.get(id);
    const isUsed = [...this.containers.values()].some(
      (container) => container.state === "running" && container.networks.has(network?.name ?? ""),
    );
    if (network === undefined) send(call, 404, { message: `network ${id} not found` });
    else if (isUsed) send(call, 403, { message: `network ${network.name} id ${id} has active endpoints` });
    else {
      this.networks.delete(id);
      send(call, 204);
    }
  }

  #connect(call: Call, name: string): void {
    const container = this.containers.get((call.body as { Container: string }).Container);
    if (container !== undefined && this.#join(container, name)) send(call, 200);
    else send(call, 404, { message: `network ${name} not found` });
  }

  #join(container: FakeContainer, nameOrId: string): boolean {
    const network = [...this.networks.values()].find(({ id, name }) => id === nameOrId || name === nameOrId);
    if (network !== undefined) container.networks.set(network.name, network.nextAddress());
    return network !== undefined;
  }

  #exec(container: FakeContainer, call: Call): void {
    if (container.state !== "running") {
      send(call, 409, { message: `Container ${container.id} is not running` });
      return;
    }
    const exec = new FakeExec(call.body as FakeExec["body"]);
    this.execs.set(exec.id, exec);
    send(call, 201, { Id: exec.id });
  }

  #start(container: FakeContainer, call: Call): void {
    const isChange = container.state !== "running";
    if (isChange) {
      container.state = "running";
      container.startedAt = new Date().toISOString();
      this.#emitEvent(container, "start");
    }
    send(call, isChange ? 204 : 304);
  }

  #stop(container: FakeContainer, call: Call): void {
    const isChange = container.state === "running";
    if (isChange) {
      container.state = "exited";
      container.exitCode = 143;
      this.#emitEvent(container, "die");
    }
    send(call, isChange ? 204 : 304);
  }

  #remove(container: FakeContainer, call: Call): void {
    this.containers.delete(container.id);
    this.#emitEvent(container, "destroy");
    send(call, 204);
  }

  #emitEvent(container: FakeContainer, Action: string): void {
    const Actor = { ID: container.id, Attributes: { ...container.labels, name: container.name } };
    this.emit(`${JSON.stringify({ Type: "container", Action, Actor })}\n`);
  }
}

function send({ response }: Pick<Call, "response">, status: number, json?: object): void {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(json === undefined ? undefined : JSON.stringify(json));
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return text === "" ? undefined : JSON.parse(text);
}
