import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { readField, readNumber, readString } from "../../core/docker/json.js";
import type { ObservedContainer } from "../../core/docker/observed-container.js";
import { writeChunk } from "../../runtime/write-chunk.js";
import type { AttachOptions, EngineStream, OutputChunk, TerminalSize } from "../engine.js";
import { EngineError } from "../engine-error.js";
import type { EngineClient } from "./client.js";
import { demux, rawOutput } from "./demux.js";
import { resizeTerminal } from "./resize.js";

/**
 * Maximum number of attempts to resize a terminal. A container that is attached to before its start can take 30 s to
 * start on a busy host.
 */
const RESIZE_ATTEMPTS = 3_000;

/** The main process of a container, over a hijacked HTTP connection to Docker. */
export class DockerAttach implements EngineStream {
  readonly output: AsyncIterable<OutputChunk>;
  readonly #client: EngineClient;
  readonly #path: string;
  readonly #connection: Duplex;
  readonly #exit: Promise<number>;
  readonly #signal: AbortSignal;

  private constructor(parts: {
    readonly client: EngineClient;
    readonly path: string;
    readonly tty: boolean;
    readonly connection: Duplex;
    readonly exit: Promise<number>;
    readonly signal: AbortSignal;
  }) {
    this.#client = parts.client;
    this.#path = parts.path;
    this.#connection = parts.connection;
    this.#exit = parts.exit;
    this.#signal = parts.signal;
    this.output = parts.tty ? rawOutput(parts.connection) : demux(parts.connection);
  }

  /** Asks for the exit code before it attaches: a container that is removed at its end has none later. */
  static async open(
    client: EngineClient,
    { id, state, tty }: ObservedContainer,
    { stdin, signal }: AttachOptions,
  ): Promise<DockerAttach> {
    const path = `/containers/${encodeURIComponent(id)}`;
    const condition = state === "created" ? "next-exit" : "not-running";
    const waiting = await client.stream({
      method: "POST",
      path: `${path}/wait`,
      query: { condition },
      signal,
    });
    const exit = readExitCode(waiting);
    // The reader of the exit code gets the error.
    exit.catch(() => {});
    const query = { stream: "1", stdin: stdin ? "1" : "0", stdout: "1", stderr: "1" };
    const connection = await client.hijack({ method: "POST", path: `${path}/attach`, query, signal });
    return new DockerAttach({ client, path, tty, connection, exit, signal });
  }

  write(bytes: Uint8Array): Promise<void> {
    return writeChunk(this.#connection, bytes);
  }

  endInput(): void {
    this.#connection.end();
  }

  resize(size: TerminalSize): Promise<void> {
    return resizeTerminal(this.#client, {
      ...{ path: `${this.#path}/resize`, size, attempts: RESIZE_ATTEMPTS, signal: this.#signal },
      isOpen: () => !this.#connection.destroyed,
    });
  }

  async kill(unixSignal: NodeJS.Signals): Promise<void> {
    const query = { signal: unixSignal };
    await this.#client.request({ method: "POST", path: `${this.#path}/kill`, query, signal: this.#signal });
  }

  exitCode(): Promise<number> {
    return this.#exit;
  }
}

/** Reads the response of a wait, whose body arrives at the end of the container. */
async function readExitCode(response: IncomingMessage): Promise<number> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const json: unknown = JSON.parse(Buffer.concat(chunks).toString());
  const error = readString(readField(readField(json, "Error"), "Message"));
  if (error !== "") throw new EngineError("failed", `Docker cannot wait for the container: ${error}`);
  return readNumber(readField(json, "StatusCode"));
}
