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
 * Maximum number of attempts to resize a terminal, one every 10 ms. On a busy host, a container can take 30 s to start
 * after a client has attached.
 */
const RESIZE_ATTEMPTS = 3_000;

interface DockerAttachOptions {
  readonly client: EngineClient;
  readonly path: string;
  readonly tty: boolean;
  readonly connection: Duplex;
  readonly exit: Promise<number>;
  readonly signal: AbortSignal;
}

/** The main process of a container, over a hijacked HTTP connection to Docker. */
export class DockerAttach implements EngineStream {
  readonly output: AsyncIterable<OutputChunk>;
  readonly #client: EngineClient;
  readonly #path: string;
  readonly #connection: Duplex;
  readonly #exit: Promise<number>;
  readonly #signal: AbortSignal;

  private constructor({ client, path, tty, connection, exit, signal }: DockerAttachOptions) {
    this.#client = client;
    this.#path = path;
    this.#connection = connection;
    this.#exit = exit;
    this.#signal = signal;
    this.output = tty ? rawOutput(connection) : demux(connection);
  }

  /** Requests the exit code before attaching, because a container with auto-remove loses it when it exits. */
  static async open(
    client: EngineClient,
    { id, state, tty }: ObservedContainer,
    { stdin, signal }: AttachOptions,
  ): Promise<DockerAttach> {
    const path = `/containers/${encodeURIComponent(id)}`;
    const waitResponse = await client.stream({
      method: "POST",
      path: `${path}/wait`,
      query: { condition: state === "created" ? "next-exit" : "not-running" },
      signal,
    });
    const exit = readExitCode(waitResponse);
    // Callers of `exitCode` see the error; this prevents an unhandled rejection.
    exit.catch(() => {});
    const query = { stream: "1", stdin: stdin ? "1" : "0", stdout: "1", stderr: "1" };
    try {
      const connection = await client.hijack({ method: "POST", path: `${path}/attach`, query, signal });
      return new DockerAttach({ client, path, tty, connection, exit, signal });
    } catch (error) {
      waitResponse.destroy();
      throw error;
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    return writeChunk(this.#connection, bytes);
  }

  endInput(): void {
    this.#connection.end();
  }

  resize(size: TerminalSize): Promise<void> {
    return resizeTerminal(this.#client, {
      path: `${this.#path}/resize`,
      size,
      attempts: RESIZE_ATTEMPTS,
      signal: this.#signal,
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

/** Reads the response of a wait, whose body arrives when the container exits. */
async function readExitCode(response: IncomingMessage): Promise<number> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  if (chunks.length === 0) throw new EngineError("unavailable", "Docker sent no exit code of the container");
  const json: unknown = JSON.parse(Buffer.concat(chunks).toString());
  const error = readString(readField(readField(json, "Error"), "Message"));
  if (error !== "") throw new EngineError("failed", `Docker cannot wait for the container: ${error}`);
  return readNumber(readField(json, "StatusCode"));
}
