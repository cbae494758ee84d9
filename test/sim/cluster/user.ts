import { Availability, ControlServiceService, DeployStackRequest, isBerthError } from "@berth/proto";
import { LOCAL_USER, type RpcClient, type RpcConnection } from "@berth/proto/rpc";
import type { Action } from "../history/history.js";
import { hostName, nodeIdOf } from "../history/history.js";
import { Actor } from "../simulator/actor.js";
import { companionOf, fullName, networkSpec, networksOf, specsOf, stackOf } from "./spec.js";
import type { World } from "./world.js";

/** Maximum number of attempts. The command line tries several servers, too. */
const ATTEMPTS = 3;
/** Timeout of a call. */
const CALL_TIMEOUT_MS = 10_000;

/** Actions that are sent to a server. */
type Asked = Exclude<Action, { kind: "load" }>;
type Calls = RpcClient<typeof ControlServiceService>;

/** The answer to an action. What it confirms has to hold from then on. */
export interface UserAnswer {
  readonly action: Action;
  readonly atMs: number;
  readonly outcome: "done" | "refused" | "unknown";
  /** The version that the change created. 0 if it created none. */
  readonly version: number;
}

/** A user of the command line, on a separate host. */
export class User {
  readonly requests: Action[] = [];
  readonly answers: UserAnswer[] = [];
  /** Pending calls, and since when. */
  readonly pending = new Map<number, number>();
  readonly #world: World;
  readonly #servers: readonly string[];
  readonly #actor = new Actor("user", "user");
  readonly #connections = new Map<string, RpcConnection<typeof ControlServiceService>>();
  #calls = 0;

  constructor(world: World, servers: readonly string[]) {
    this.#world = world;
    this.#servers = servers;
  }

  perform(action: Action): void {
    this.requests.push(action);
    this.#world.trace.add("user", `asks: ${JSON.stringify(action)}`);
    if (action.kind === "load") {
      this.#world.loads.set(fullName(action.service), action.connections);
      return;
    }
    this.#world.scheduler.after(0, this.#actor, () => void this.#ask(action));
  }

  async #ask(action: Asked): Promise<void> {
    const { scheduler, trace } = this.#world;
    const call = ++this.#calls;
    this.pending.set(call, scheduler.nowMs);
    let outcome: UserAnswer["outcome"] = "unknown";
    let version = 0;
    for (let attempt = 0; attempt < ATTEMPTS && outcome === "unknown"; attempt++) {
      const address = this.#servers[(call + attempt) % this.#servers.length] ?? "";
      try {
        version = await perform(action, this.#connect(address), this.#owners());
        outcome = "done";
      } catch (error) {
        if (!isBerthError(error)) throw error;
        trace.add("user", `hears ${error.code}: ${error.message}`);
        if (isRefusal(error.code)) outcome = "refused";
      }
    }
    this.pending.delete(call);
    trace.add("user", `${action.kind}: ${outcome} ${version}`);
    this.answers.push({ action, atMs: scheduler.nowMs, outcome, version });
  }

  /** Returns the services that were deployed with a companion. */
  #owners(): ReadonlySet<string> {
    const deployed = this.requests.flatMap((each) => (each.kind === "deploy" ? each.definition : []));
    return new Set(deployed.flatMap(({ name, companion }) => (companion === undefined ? [] : name)));
  }

  #connect(address: string): Calls {
    const known = this.#connections.get(address);
    if (known !== undefined) return known.calls;
    const transport = this.#world.transport(this.#actor, LOCAL_USER);
    const connection = transport.connect(ControlServiceService, { address });
    this.#connections.set(address, connection);
    return connection.calls;
  }
}

/** Maximum duration of all attempts together. */
export const LONGEST_CALL_MS = ATTEMPTS * CALL_TIMEOUT_MS;

function isRefusal(code: string): boolean {
  return ![
    "BERTH_SERVER_UNREACHABLE",
    "BERTH_DEADLINE",
    "BERTH_NO_LEADER",
    "BERTH_NOT_LEADER",
    "BERTH_CANCELLED",
    "BERTH_ETCD_UNAVAILABLE",
  ].includes(code);
}

async function perform(action: Asked, calls: Calls, owners: ReadonlySet<string>): Promise<number> {
  const options = { timeoutMs: CALL_TIMEOUT_MS };
  switch (action.kind) {
    case "deploy": {
      const { definition } = action;
      const request = DeployStackRequest.fromPartial({
        stack: stackOf(definition.name),
        services: [...specsOf(definition)],
        networks: [...networksOf(definition)],
      });
      const { services } = await calls.deployStack(request, options);
      return services.find(({ name }) => name === fullName(definition.name))?.version ?? 0;
    }
    case "scale": {
      const request = { services: [{ service: fullName(action.service), replicas: action.replicas }] };
      const { services } = await calls.scaleServices(request, options);
      return services.find(({ name }) => name === fullName(action.service))?.version ?? 0;
    }
    case "remove": {
      const { service } = action;
      // An owner cannot be removed without its companion.
      const services = owners.has(service) ? [service, companionOf(service)] : [service];
      await calls.removeServices({ services: services.map(fullName), stack: "" }, options);
      return 0;
    }
    case "rollback": {
      const { service } = await calls.rollbackService(
        { service: fullName(action.service), toVersion: 0 },
        options,
      );
      return service?.version ?? 0;
    }
    case "create-network":
      await calls.createNetwork({ spec: networkSpec(action.network) }, options);
      return 0;
    case "remove-network":
      await calls.removeNetworks({ networks: [action.network] }, options);
      return 0;
    case "remove-stack":
      await calls.removeServices({ services: [], stack: action.stack }, options);
      return 0;
    case "remove-node":
      await calls.removeNode(
        { node: nodeIdOf(hostName(action.host), action.install), force: action.force },
        options,
      );
      return 0;
    case "rebalance":
      await calls.rebalance({ dryRun: false, maxMoves: 0 }, options);
      return 0;
    case "availability": {
      const request = {
        node: hostName(action.host),
        availability: AVAILABILITIES[action.availability],
        addLabels: {},
        removeLabels: [],
      };
      await calls.updateNode(request, options);
      return 0;
    }
  }
}

const AVAILABILITIES = {
  active: Availability.ACTIVE,
  pause: Availability.PAUSE,
  drain: Availability.DRAIN,
} as const;
