import { type AssignedRegistryLogin, type Assignments, credentialProblems } from "@berth/proto";

/** Maximum number of registry logins of a node. The leader stores no more for all nodes. */
const MAX_LOGINS = 10_000;

/** The result of applying a message. */
export interface AssignedLoginsChange {
  /** All registry logins. Undefined if the message changed none. */
  readonly logins: readonly AssignedRegistryLogin[] | undefined;
  /** Why logins were ignored. The reasons contain no secrets. */
  readonly problems: readonly string[];
}

/**
 * The registry logins of this node's tasks: a complete set, and the changes that followed it. They are in memory only
 * and must not be logged.
 */
export class AssignedLogins {
  readonly #logins = new Map<string, AssignedRegistryLogin>();

  /** Applies the logins of a message. Ignores invalid logins. */
  apply(
    {
      registryLogins,
      removedRegistryLoginIds,
    }: Pick<Assignments, "registryLogins" | "removedRegistryLoginIds">,
    { isComplete }: { readonly isComplete: boolean },
  ): AssignedLoginsChange {
    if (isComplete) this.#logins.clear();
    // Removals come first, because a removed login makes room for a new one.
    for (const id of removedRegistryLoginIds) this.#logins.delete(id);
    const problems: string[] = [];
    for (const login of registryLogins) {
      this.#logins.delete(login.id);
      const problem = this.#findProblem(login);
      if (problem === undefined) this.#logins.set(login.id, login);
      else problems.push(problem);
    }
    const hasChanged = isComplete || registryLogins.length > 0 || removedRegistryLoginIds.length > 0;
    return { logins: hasChanged ? [...this.#logins.values()] : undefined, problems };
  }

  #findProblem({ credentials }: AssignedRegistryLogin): string | undefined {
    if (credentials === undefined) return "a login has no credentials";
    if (this.#logins.size >= MAX_LOGINS) return `the node has more than ${MAX_LOGINS} logins`;
    const problems = credentialProblems(credentials);
    return problems.length === 0 ? undefined : problems.join("; ");
  }
}
