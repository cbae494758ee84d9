import { DOOR_MAPS, type ElementSet, memberMap, REMOVE, SKELETON, TABLE } from "./base-ruleset.js";
import {
  endpointElement,
  type KernelDoor,
  type KernelEndpoint,
  type KernelService,
  sameEndpoint,
  sameService,
} from "./layout.js";
import { NumberedTable, type ServiceKind, type SetElement } from "./numbered-table.js";
import { chainRules, membersOf } from "./service-chain.js";

const PORTS: ServiceKind<KernelService, KernelEndpoint> = {
  table: `ip ${TABLE}`,
  empty: `${REMOVE}${SKELETON}`,
  chainOf: (key) => key,
  mapOf: (key, { door }) => memberMap(door.protocol, key),
  membersOf,
  keeps: ({ endpoints }) => {
    const staying = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
    return (member) => sameEndpoint(member, staying.get(member.id));
  },
  isSame: sameService,
  memberElement: ({ address, port }) => `${address} . ${port}`,
  doorOf: ({ door }) => ({ map: DOOR_MAPS[door.kind], element: doorElement(door) }),
  rulesOf: ({ door, pick }, range) => chainRules({ ...range, protocol: door.protocol, pick }),
  elementsOf,
};

/** What the kernel's table of published ports holds. */
export class KernelTable extends NumberedTable<KernelService, KernelEndpoint> {
  constructor(maxRewrites?: number) {
    super(PORTS, maxRewrites);
  }
}

function* elementsOf({ door, endpoints }: KernelService): Generator<SetElement> {
  const { protocol } = door;
  const inSet = (set: ElementSet, element: string): SetElement => ({ set, element });
  for (const endpoint of endpoints) {
    const element = endpointElement(protocol, endpoint);
    yield inSet(endpoint.source === "masqueraded" ? "remotes" : "locals", element);
    if (endpoint.subnet === "") continue;
    yield inSet("neighbours", `${endpoint.subnet} . ${endpoint.subnet}`);
    yield inSet("hairpins", `${endpoint.address} . ${protocol} . ${door.port}`);
  }
}

/** `tcp . 80`, or `10.0.0.1 . tcp . 80`: a door as nft names it. */
export function doorElement(door: KernelDoor): string {
  const port = `${door.protocol} . ${door.port}`;
  return door.kind === "port" ? port : `${door.address} . ${port}`;
}
