import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { LabError } from "../lab-error.js";
import { scaleTimeout } from "../wait-until.js";

/** QEMU answers within milliseconds, unless its machine is busy with a snapshot. */
const COMMAND_TIMEOUT_MS = 60_000;

type Response = { readonly return?: unknown; readonly error?: { readonly desc?: string } };

/** Runs commands on QEMU's control socket (QMP), one after the other. Returns the result of the last one. */
export async function runQmp(socketPath: string, commands: readonly QmpCommand[]): Promise<unknown> {
  const signal = AbortSignal.timeout(scaleTimeout(COMMAND_TIMEOUT_MS));
  const socket = createConnection(socketPath);
  try {
    await once(socket, "connect", { signal });
    const responses = readResponses(socket, signal);
    let result: unknown;
    for (const { execute, arguments: args = {} } of [CAPABILITIES, ...commands]) {
      socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
      result = await nextResult(execute, responses);
    }
    return result;
  } finally {
    socket.destroy();
  }
}

export interface QmpCommand {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** Ends the negotiation with which each connection starts. */
const CAPABILITIES: QmpCommand = { execute: "qmp_capabilities" };

/** Yields the responses to commands, without the greeting and the events between them. */
async function* readResponses(socket: Socket, signal: AbortSignal): AsyncGenerator<Response> {
  const lines = createInterface({ input: socket, signal });
  for await (const line of lines) {
    const message = JSON.parse(line) as Response;
    if ("return" in message || "error" in message) yield message;
  }
}

async function nextResult(command: string, responses: AsyncGenerator<Response>): Promise<unknown> {
  const { done, value } = await responses.next();
  if (done) throw new LabError("LAB_COMMAND_FAILED", `QEMU ended during ${command}`);
  if (value.error !== undefined) {
    throw new LabError("LAB_COMMAND_FAILED", `QEMU rejected ${command}: ${value.error.desc}`);
  }
  return value.return;
}
