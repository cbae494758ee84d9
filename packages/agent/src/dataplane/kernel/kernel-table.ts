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
  frontendElement,
  isSameEndpoint,
  isSameService,
  type KernelEndpoint,
  type KernelService,
} from "./kernel-service.js";
import { NftServiceTable, type ServiceSchema, type SetElement } from "./nft-service-table.js";
import { chainRules, orderMembers } from "./service-chain.js";

const SCHEMA: ServiceSchema<KernelService, KernelEndpoint> = {
  table: `ip ${TABLE}`,
  emptyTable: `${DELETE_TABLE}${BASE_RULESET}`,
  chainName: (key) => key,
  memberMap: (key, { frontend }) => memberMap(frontend.protocol, key),
  orderMembers,
  memberFilter: ({ endpoints }) => {
    const byId = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
    return (member) => isSameEndpoint(member, byId.get(member.id));
  },
  isSame: isSameService,
  memberElement: ({ address, port }) => `${address} . ${port}`,
  dispatchEntry: ({ frontend }) => ({
    map: FRONTEND_MAPS[frontend.kind],
    element: frontendElement(frontend),
  }),
  chainRules: ({ frontend, balance }, range) =>
    chainRules({ ...range, protocol: frontend.protocol, balance }),
  sharedElements,
};

/** The kernel's table of published ports. */
export class KernelTable extends NftServiceTable<KernelService, KernelEndpoint> {
  constructor(maxRewrites?: number) {
    super(SCHEMA, maxRewrites);
  }
}

function* sharedElements({ frontend, endpoints }: KernelService): Generator<SetElement> {
  const { protocol, port } = frontend;
  const inSet = (set: ElementSet, element: string): SetElement => ({ set, element });
  for (const endpoint of endpoints) {
    const { address, clientAddress, localSubnet } = endpoint;
    const element = endpointElement(protocol, endpoint);
    yield inSet(clientAddress === "masqueraded" ? "remotes" : "locals", element);
    if (localSubnet === "") continue;
    yield inSet("neighbors", `${localSubnet} . ${localSubnet}`);
    yield inSet("hairpins", `${address} . ${protocol} . ${port}`);
  }
}
