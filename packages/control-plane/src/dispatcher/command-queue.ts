import { assertNever } from "@berth/proto";
import type { AgentCommand } from "./session.js";

/** Maximum number of queued commands. An agent with a longer queue has stopped reading, or is very slow. */
const MAX_COMMANDS = 1_000;

/**
 * Queues the commands for one agent until the agent reads its session.
 *
 * Bounded: a stop removes its queued start, a newer setting replaces an older one, and other commands are rejected when
 * the queue is full. Stops are never rejected, because there is at most one for each request that the agent has
 * received.
 */
export class CommandQueue {
  /** Queued commands by key, in the order of arrival. */
  readonly #commands = new Map<string, AgentCommand>();

  get isEmpty(): boolean {
    return this.#commands.size === 0;
  }

  /** Adds a command. Returns false when the queue is full. */
  push(command: AgentCommand): boolean {
    const { key, isStop, isSetting } = classify(command);
    if (isStop && this.#commands.delete(key)) return true;
    const isReplaced = isSetting && this.#commands.has(key);
    if (!isStop && !isReplaced && this.#commands.size >= MAX_COMMANDS) return false;
    this.#commands.set(isStop ? `stop ${key}` : key, command);
    return true;
  }

  take(): AgentCommand | undefined {
    for (const [key, command] of this.#commands) {
      this.#commands.delete(key);
      return command;
    }
    return undefined;
  }
}

interface CommandClass {
  /** Identifies the request that a command starts or stops, or the setting that it changes. */
  readonly key: string;
  readonly isStop: boolean;
  readonly isSetting: boolean;
}

function classify(command: AgentCommand): CommandClass {
  switch (command.$case) {
    case "startLogs":
    case "startExec":
    case "startStats":
    case "probe":
    case "trafficRequest":
    case "checkRegistryLogin":
    case "imageDigestRequest":
    case "volumeRequest":
    case "imageQuery":
    case "removeImages":
    case "fetchImage":
    case "startImageUpload":
      return { key: command.value.requestId, isStop: false, isSetting: false };
    case "stopLogs":
    case "stopExec":
    case "stopStats":
    case "stopImageUpload":
      return { key: command.value.requestId, isStop: true, isSetting: false };
    case "heartbeatInterval":
    case "authorities":
    case "measureUsage":
    case "servers":
      return { key: command.$case, isStop: false, isSetting: true };
    default:
      return assertNever(command);
  }
}
