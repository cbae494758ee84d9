import type { NodeView } from "../model.js";
import { nodesText } from "../words.js";
import type { Filter, TaskRequirements } from "./filters.js";
import { listenerKey, portsClash } from "./occupancy.js";

/** Two tasks with one host port never share a node, and neither do a task and some other program that listens there. */
export function portFilters({ resources: demand }: TaskRequirements): readonly Filter[] {
  return demand.hostPorts.flatMap((port) => [
    portFilter(port, { takenBy: "another task", keys: ({ hostPorts }) => hostPorts }),
    portFilter(port, { takenBy: "another program", keys: listenerKeys }),
  ]);
}

function portFilter(
  port: string,
  taken: { readonly takenBy: string; readonly keys: (node: NodeView) => Iterable<string> },
): Filter {
  const [protocol = "", address = "", number = ""] = port.split("/");
  const name = `${address === "" ? "" : `${address}:`}${number}/${protocol}`;
  return {
    name: "host-port",
    capacity: (node) => {
      for (const key of taken.keys(node)) {
        if (portsClash(port, key)) return 0;
      }
      return 1;
    },
    explain: (count) =>
      `port ${name} is taken by ${taken.takenBy} on ${nodesText(count, { one: "", many: "" }).trim()}`,
  };
}

const listenerKeys = ({ node }: NodeView): readonly string[] =>
  (node.description?.listeners ?? []).map(listenerKey);
