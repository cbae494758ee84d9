import {
  BASE_RULESET,
  DELETE_TABLE,
  type ElementSet,
  FRONTEND_MAPS,
  memberMap,
  TABLE,
} from "./base-ruleset.js";
import {
  endpointElement,
  type Frontend,
  isSameEndpoint,
  isSameService,
  type KernelEndpoint,
  type KernelService,
} from "./kernel-service.js";
import { NumberedTable, type ServiceSchema, type SetElement } from "./numbered-table.js";
import { chainRules, membersOf } from "./service-chain.js";

const PORTS: ServiceSchema<KernelService, KernelEndpoint> = {
  table: `ip ${TABLE}`,
  empty: `${DELETE_TABLE}${BASE_RULESET}`,
  chainOf: (key) => key,
  mapOf: (key, { frontend: door }) => memberMap(door.protocol, key),
  membersOf,
  keeps: ({ endpoints }) => {
    const staying = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
    return (member) => isSameEndpoint(member, staying.get(member.id));
  },
  isSame: isSameService,
  memberElement: ({ address, port }) => `${address} . ${port}`,
  dispatchEntry: ({ frontend: door }) => ({ map: FRONTEND_MAPS[door.kind], element: frontendElement(door) }),
  rulesOf: ({ frontend: door, balance: pick }, range) =>
    chainRules({ ...range, protocol: door.protocol, pick }),
  elementsOf,
};

/** What the kernel's table of published ports holds. */
export class KernelTable extends NumberedTable<KernelService, KernelEndpoint> {
  constructor(maxRewrites?: number) {
    super(PORTS, maxRewrites);
  }
}

function* elementsOf({ frontend: door, endpoints }: KernelService): Generator<SetElement> {
  const { protocol } = door;
  const inSet = (set: ElementSet, element: string): SetElement => ({ set, element });
  for (const endpoint of endpoints) {
    const element = endpointElement(protocol, endpoint);
    yield inSet(endpoint.clientAddress === "masqueraded" ? "remotes" : "locals", element);
    if (endpoint.localSubnet === "") continue;
    yield inSet("neighbours", `${endpoint.localSubnet} . ${endpoint.localSubnet}`);
    yield inSet("hairpins", `${endpoint.address} . ${protocol} . ${door.port}`);
  }
}

/** `tcp . 80`, or `10.0.0.1 . tcp . 80`: a door as nft names it. */
export function frontendElement(door: Frontend): string {
  const port = `${door.protocol} . ${door.port}`;
  return door.kind === "port" ? port : `${door.address} . ${port}`;
}
