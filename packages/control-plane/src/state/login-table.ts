import type { RegistryLogin } from "@berth/proto";
import { loginKey } from "../core/registries/registry-logins.js";
import { GroupedMap } from "./grouped-map.js";

/** The registry logins in the leader's memory. Their secrets are encrypted. */
export class LoginTable {
  readonly #byId = new Map<string, RegistryLogin>();
  readonly #byKey = new Map<string, RegistryLogin>();
  readonly #byStack = new GroupedMap<RegistryLogin>();
  #sealedBytes = 0;

  get size(): number {
    return this.#byId.size;
  }

  /** Size of all encrypted secrets, in bytes. */
  get sealedBytes(): number {
    return this.#sealedBytes;
  }

  get(loginId: string): RegistryLogin | undefined {
    return this.#byId.get(loginId);
  }

  /** Returns the login with a key, see `loginKey`. */
  byKey(key: string): RegistryLogin | undefined {
    return this.#byKey.get(key);
  }

  /** Returns a stack's own logins by key; for "", the logins for all stacks. */
  ofStack(stack: string): ReadonlyMap<string, RegistryLogin> {
    return this.#byStack.get(stack);
  }

  values(): Iterable<RegistryLogin> {
    return this.#byId.values();
  }

  put(login: RegistryLogin): void {
    this.delete(login.id);
    this.#byId.set(login.id, login);
    this.#byKey.set(loginKey(login), login);
    this.#byStack.set(login.stack, loginKey(login), login);
    this.#sealedBytes += login.sealedSecret.length;
  }

  delete(loginId: string): void {
    const login = this.#byId.get(loginId);
    if (login === undefined) return;
    const key = loginKey(login);
    this.#byId.delete(loginId);
    this.#sealedBytes -= login.sealedSecret.length;
    // Another login may have taken the key in the same batch of changes.
    if (this.#byKey.get(key)?.id !== loginId) return;
    this.#byKey.delete(key);
    this.#byStack.delete(login.stack, key);
  }
}
