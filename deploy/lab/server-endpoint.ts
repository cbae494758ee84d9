import { join } from "node:path";
import { SERVER_HTTP_PORT, serverAddressOn } from "./berth-commands.js";
import type { LabError } from "./lab-error.js";
import type { Machine } from "./machine.js";
import { machinePaths } from "./paths.js";
import { scaleTimeout, waitUntil } from "./wait-until.js";

/** Timeout until a server is healthy, including the start of its etcd. */
const READY_TIMEOUT_MS = 60_000;
/** Timeout of a health check. It takes milliseconds, and longer on an overloaded machine. */
const HEALTH_TIMEOUT_MS = 3_000;

/** Response of a server's health endpoint. */
export interface ServerHealth {
  readonly status: string;
  readonly role: string;
  /** The leader's address. Null if the server knows of no leader. */
  readonly leader: string | null;
}

/** A berth server of a lab, as seen from this machine. */
export abstract class ServerEndpoint {
  /** Name of the machine. */
  readonly name: string;
  /** `ADDRESS:PORT` for the CLI and the agents. */
  readonly address: string;
  /** URL of the health checks and metrics. */
  readonly httpUrl: string;
  /** Path of the server's unix socket in the root namespace. */
  readonly socket: string;

  constructor(lab: string, machine: Machine) {
    this.name = machine.name;
    this.address = serverAddressOn(machine.address);
    this.httpUrl = `http://${machine.address}:${SERVER_HTTP_PORT}`;
    this.socket = join(machinePaths(lab, machine.name).runDir, "berth/server.sock");
  }

  /** Path of the server's log, or the command that prints it. */
  abstract readonly log: string;

  /** Joins the first server's cluster once that server is healthy. Does nothing if this server has already joined. */
  abstract join(signal?: AbortSignal): Promise<void>;

  /** Starts the server and returns at once: in a cluster, it becomes healthy only once a quorum is up. */
  abstract startWithoutWaiting(): Promise<void>;

  protected abstract isRunning(): Promise<boolean>;

  /** Returns the error of a server that has exited while starting, or undefined if it runs. */
  protected abstract readExitError(): Promise<LabError | undefined>;

  /**
   * Waits until the server reports that it is healthy.
   *
   * @throws LabError LAB_NOT_READY at the deadline, or, with the end of the log, if the server has exited.
   */
  async waitUntilHealthy(signal?: AbortSignal): Promise<void> {
    const isReady = async (): Promise<boolean> => {
      if (await this.isHealthy()) return true;
      const error = await this.readExitError();
      if (error !== undefined) throw error;
      return false;
    };
    await waitUntil(isReady, {
      what: `berth server on ${this.name} to become healthy (log: ${this.log})`,
      timeoutMs: READY_TIMEOUT_MS,
      signal,
    });
  }

  async isHealthy(): Promise<boolean> {
    return (await this.health())?.status === "ok";
  }

  /** Returns the server's health, or undefined if the server does not respond. */
  async health(): Promise<ServerHealth | undefined> {
    try {
      const response = await fetch(`${this.httpUrl}/healthz`, {
        signal: AbortSignal.timeout(scaleTimeout(HEALTH_TIMEOUT_MS)),
      });
      return (await response.json()) as ServerHealth;
    } catch {
      return undefined;
    }
  }

  /** Returns the server as a daemon of its machine, with its state. Empty if the server does not run. */
  async describeDaemons(): Promise<readonly string[]> {
    if (!(await this.isRunning())) return [];
    const health = await this.health();
    if (health?.status !== "ok") return ["server (unhealthy)"];
    return [health.role === "leader" ? "server (leader)" : "server"];
  }
}
