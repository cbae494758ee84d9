import {
  type CheckRegistryLogin,
  credentialProblems,
  MAX_STATUS_MESSAGE_LENGTH,
  type RegistryLoginChecked,
} from "@berth/proto";
import type { Engine } from "../engine/engine.js";

/** Maximum number of concurrent checks. Each waits for a registry. */
const MAX_CONCURRENT_CHECKS = 8;

/** Checks registry logins for the leader, with the Docker daemon of this host. Keeps and logs nothing. */
export class LoginChecker {
  readonly #engine: Pick<Engine, "checkLogin">;
  readonly #signal: AbortSignal;
  #running = 0;

  constructor(engine: Pick<Engine, "checkLogin">, signal: AbortSignal) {
    this.#engine = engine;
    this.#signal = signal;
  }

  async answer({ requestId, credentials }: CheckRegistryLogin): Promise<RegistryLoginChecked> {
    if (credentials === undefined || credentialProblems(credentials).length > 0) {
      return { requestId, problem: "the credentials are invalid" };
    }
    if (this.#running >= MAX_CONCURRENT_CHECKS) {
      return {
        requestId,
        problem: `the node is already checking ${MAX_CONCURRENT_CHECKS} logins; try again`,
      };
    }
    this.#running += 1;
    try {
      await this.#engine.checkLogin(credentials, { signal: this.#signal });
      return { requestId, problem: "" };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      // The leader ends the session of an agent whose message is too long.
      return {
        requestId,
        problem: text.slice(0, MAX_STATUS_MESSAGE_LENGTH) || "it failed without a message",
      };
    } finally {
      this.#running -= 1;
    }
  }
}
