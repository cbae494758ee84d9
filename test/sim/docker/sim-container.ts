import type { CreateBody, EndpointBody } from "../../../packages/agent/src/core/docker/create-body.js";
import { AT_MOST_ONE_LABEL } from "../../../packages/agent/src/core/docker/labels.js";
import type {
  ContainerHealth,
  ContainerNetwork,
  ContainerSummary,
  ObservedContainer,
  PublishedPort,
} from "../../../packages/agent/src/core/docker/observed-container.js";
import type { ContainerConfig } from "../../../packages/agent/src/core/tasks/container-config.js";

const MS_PER_S = 1_000;
const NO_HEALTH: ContainerHealth = "none";

/** A container of a simulated daemon. */
export class SimContainer {
  readonly id: string;
  readonly name: string;
  readonly body: CreateBody;
  /** The task as the host's agent determines it. Empty for a container that the agent did not create. */
  readonly taskId: string;
  /** True for a container that no agent created, whatever its labels are. */
  readonly isForeign: boolean;
  state: "created" | "running" | "exited" = "created";
  exitCode = 0;
  health: ContainerHealth = NO_HEALTH;
  ports: readonly PublishedPort[] = [];
  /** Number of starts. Events scheduled for an earlier run are ignored. */
  run = 0;
  /** When it was last started. */
  startedAtMs = 0;
  /** The networks to connect when it starts, by name. */
  readonly endpoints = new Map<string, EndpointBody>();
  readonly #waiting: (() => void)[] = [];

  constructor(
    id: string,
    { name, body }: Pick<ContainerConfig, "name" | "body">,
    { taskId, isForeign }: { readonly taskId: string; readonly isForeign: boolean },
  ) {
    this.id = id;
    this.taskId = taskId;
    this.isForeign = isForeign;
    this.name = name;
    this.body = body;
    for (const [network, endpoint] of Object.entries(body.NetworkingConfig?.EndpointsConfig ?? {})) {
      this.endpoints.set(network, endpoint);
    }
  }

  get isRunning(): boolean {
    return this.state === "running";
  }

  get serviceId(): string {
    return this.body.Labels["berth.service.id"] ?? "";
  }

  get slot(): number {
    return Number(this.body.Labels["berth.slot"] ?? 0);
  }

  get version(): number {
    return Number(this.body.Labels["berth.spec.version"] ?? 0);
  }

  /** Resolves when the container has exited. */
  ended(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.isRunning) resolve();
      else this.#waiting.push(resolve);
    });
  }

  end(exitCode: number): void {
    this.state = "exited";
    this.exitCode = exitCode;
    this.ports = [];
    for (const wake of this.#waiting.splice(0)) wake();
  }

  summary(): ContainerSummary {
    return { id: this.id, taskId: this.taskId, state: this.state, health: this.#shownHealth() };
  }

  inspect(networks: readonly ContainerNetwork[]): ObservedContainer {
    return {
      id: this.id,
      name: this.name,
      taskId: this.taskId,
      state: this.state,
      exitCode: this.exitCode,
      error: "",
      outOfMemory: false,
      resources: [],
      health: this.#shownHealth(),
      healthOutput: this.health === "unhealthy" ? "no answer" : "",
      // Commands are not simulated.
      healthcheck: undefined,
      ports: this.ports,
      networks,
      tty: false,
      processId: this.isRunning ? 1_000 : 0,
      startedAt: new Date(this.startedAtMs).toISOString().replace(/Z$/, ""),
      atMostOne: this.body.Labels[AT_MOST_ONE_LABEL] === "true",
      stopGraceMs: this.body.StopTimeout * MS_PER_S,
    };
  }

  #shownHealth(): ContainerHealth {
    return this.isRunning ? this.health : NO_HEALTH;
  }
}
