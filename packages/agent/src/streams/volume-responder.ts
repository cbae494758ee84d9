import { assertNever, MAX_STATUS_MESSAGE_LENGTH, type VolumeReply, type VolumeRequest } from "@berth/proto";
import type { Engine } from "../engine/engine.js";
import { isEngineError } from "../engine/engine-error.js";

/** Maximum number of concurrent requests. The leader sends one for each command of a user. */
const MAX_CONCURRENT_REQUESTS = 16;
/** Maximum number of volumes in a reply. The leader refuses more. */
const MAX_VOLUMES = 2_000;

type VolumeEngine = Pick<Engine, "listVolumes" | "createVolume" | "removeVolume" | "pruneVolumes">;

/** Lists and changes the volumes of this host's Docker for the leader, when an administrator asks for it. */
export class VolumeResponder {
  readonly #engine: VolumeEngine;
  readonly #signal: AbortSignal;
  #requests = 0;

  /** @param signal is aborted when the agent stops */
  constructor(engine: VolumeEngine, signal: AbortSignal) {
    this.#engine = engine;
    this.#signal = signal;
  }

  /** Returns undefined if the agent stops. Never rejects. */
  async answer({ requestId, action }: VolumeRequest): Promise<VolumeReply | undefined> {
    const blank = { requestId, volumes: [], removed: [], reclaimedBytes: 0, error: "", isMissing: false };
    if (this.#requests >= MAX_CONCURRENT_REQUESTS) {
      return { ...blank, error: "too many requests about volumes are running; try again" };
    }
    this.#requests += 1;
    try {
      return { ...blank, ...(await this.#run(action)) };
    } catch (error) {
      if (this.#signal.aborted) return undefined;
      const text = error instanceof Error ? error.message : String(error);
      const isMissing = isEngineError(error, "not-found");
      return { ...blank, error: text.slice(0, MAX_STATUS_MESSAGE_LENGTH) || "Docker failed", isMissing };
    } finally {
      this.#requests -= 1;
    }
  }

  async #run(action: VolumeRequest["action"]): Promise<Partial<VolumeReply>> {
    const call = { signal: this.#signal };
    switch (action?.$case) {
      case "list": {
        const volumes = await this.#engine.listVolumes(action.value.name, call);
        return { volumes: volumes.slice(0, MAX_VOLUMES) };
      }
      case "create":
        return { volumes: [await this.#engine.createVolume(action.value, call)] };
      case "remove":
        return this.#remove(action.value.name, action.value.force);
      case "prune": {
        const { removed, reclaimedBytes } = await this.#engine.pruneVolumes(action.value.all, call);
        return { removed: removed.slice(0, MAX_VOLUMES), reclaimedBytes };
      }
      case undefined:
        return { error: "the agent does not know this request; upgrade the agent" };
      default:
        return assertNever(action);
    }
  }

  async #remove(name: string, force: boolean): Promise<Partial<VolumeReply>> {
    try {
      await this.#engine.removeVolume(name, { signal: this.#signal });
      return { removed: [name] };
    } catch (error) {
      if (force && isEngineError(error, "not-found")) return {};
      throw error;
    }
  }
}
