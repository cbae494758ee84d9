import type { AssignedRegistryLogin, Assignments, ServiceSpec } from "@berth/proto";
import { loginKeysFor } from "../../core/registries/registry-logins.js";
import { TaskReferences } from "./task-references.js";

/** Reads the registry logins of the cluster. */
export interface LoginSource {
  /** Returns the login with a key, see `loginKey`, or undefined if there is none, or if it cannot be decrypted. */
  registryLogin(key: string): AssignedRegistryLogin | undefined;
}

type LoginChanges = Pick<Assignments, "registryLogins" | "removedRegistryLoginIds">;

/** Builds the registry logins of one agent's assignments: the ones for the images of the node's tasks. */
export class LoginFeed {
  readonly #source: LoginSource;
  /** References of tasks by `loginKey`. Includes logins that are not stored, because they may be stored later. */
  readonly #references = new TaskReferences();
  /** IDs of the logins that the agent has, by key. */
  readonly #sentIds = new Map<string, string>();
  readonly #staleKeys = new Set<string>();

  constructor(source: LoginSource) {
    this.#source = source;
  }

  get isStale(): boolean {
    return this.#staleKeys.size > 0;
  }

  /** Adds a task that should run. */
  addTask(
    taskId: string,
    { stack, spec }: { readonly stack: string; readonly spec: ServiceSpec | undefined },
  ): void {
    const image = spec?.task?.container?.image ?? "";
    if (image === "") return;
    for (const key of this.#references.add(taskId, loginKeysFor({ image, stack }))) this.#staleKeys.add(key);
  }

  /** Removes a task that has ended, or that the node no longer has. */
  removeTask(taskId: string): void {
    for (const key of this.#references.remove(taskId)) {
      if (this.#sentIds.has(key)) this.#staleKeys.add(key);
    }
  }

  /** Called when a login was stored or removed. */
  markStale(key: string): void {
    if (this.#references.has(key)) this.#staleKeys.add(key);
  }

  /** Returns the changes since the last call, and records them as sent. */
  takeChanges(): LoginChanges {
    const changes: LoginChanges = { registryLogins: [], removedRegistryLoginIds: [] };
    for (const key of this.#staleKeys) {
      const login = this.#references.has(key) ? this.#source.registryLogin(key) : undefined;
      const sentId = this.#sentIds.get(key);
      if (sentId !== undefined && sentId !== login?.id) changes.removedRegistryLoginIds.push(sentId);
      if (login === undefined) {
        this.#sentIds.delete(key);
      } else {
        this.#sentIds.set(key, login.id);
        changes.registryLogins.push(login);
      }
    }
    this.#staleKeys.clear();
    return changes;
  }
}
