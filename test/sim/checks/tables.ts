import { DesiredState } from "@berth/proto";
import { EMPTY_DNS_TABLE } from "../../../packages/agent/src/dataplane/dns/dns-table.js";
import type { SimHost } from "../cluster/sim-host.js";
import type { CheckContext } from "./check-context.js";
import type { TaskChange } from "./records.js";

/** N6: a host that has stopped sending connections to a task that is to stop does not begin again. */
export class Tables {
  readonly #context: CheckContext;
  /** Of each task that is to stop: tables that have sent it connections since, and whether they still do. */
  readonly #sending = new Map<string, Map<string, boolean>>();

  constructor(context: CheckContext) {
    this.#context = context;
  }

  onCommit(tasks: readonly TaskChange[]): void {
    const { cluster } = this.#context;
    for (const { before, after } of tasks) {
      const isOver = after === undefined || after.desiredState >= DesiredState.SHUTDOWN;
      if (before === undefined || before.desiredState >= DesiredState.SHUTDOWN || !isOver) continue;
      this.#sending.set(before.id, new Map());
      for (const host of cluster.hosts) this.#look(host, [before.id]);
    }
  }

  /** The tables of a host are others than before. */
  onTables(hostName: string): void {
    const host = this.#context.cluster.hosts.find(({ name }) => name === hostName);
    if (host !== undefined) this.#look(host, this.#sending.keys());
  }

  #look(host: SimHost, taskIds: Iterable<string>): void {
    const ids = [...taskIds];
    this.#compare(`${host.name} sends connections by port`, sentBy(host.table?.listeners), ids);
    this.#compare(`${host.name} sends connections by name`, sentBy(namesOf(host)), ids);
  }

  #compare(who: string, sent: ReadonlySet<string> | undefined, taskIds: readonly string[]): void {
    for (const taskId of taskIds) {
      const tables = this.#sending.get(taskId);
      const isSending = tables?.get(who);
      // A host that had no power knows no more than what is on its disk.
      if (sent === undefined) tables?.delete(who);
      else if (sent.has(taskId)) {
        if (isSending === false)
          this.#context.report("N6", `${who} to task ${taskId} again, which is to stop`);
        tables?.set(who, true);
      } else if (isSending) tables?.set(who, false);
    }
  }
}

type Table = readonly { readonly endpoints: readonly { readonly id: string }[] }[];

function namesOf({ names }: SimHost): Table | undefined {
  return names === EMPTY_DNS_TABLE ? undefined : names.services;
}

/** Tasks that get new connections. */
function sentBy(table: Table | undefined): ReadonlySet<string> | undefined {
  return table && new Set(table.flatMap(({ endpoints }) => endpoints.map(({ id }) => id)));
}
