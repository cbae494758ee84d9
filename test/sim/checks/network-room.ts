import { type Node, parseSubnet, type ServiceSpec } from "@berth/proto";
import { layoutOf } from "../../../packages/control-plane/src/core/allocator/address-pool.js";
import type { CheckContext } from "./check-context.js";
import { networkNames } from "./network-membership.js";

/** Whether a node can have the networks of a task, and has addresses left in them, beside what is there. */
export function hasNetworkRoom(
  { records }: CheckContext,
  {
    spec,
    node,
    there,
  }: {
    readonly spec: ServiceSpec | undefined;
    readonly node: Node;
    readonly there: readonly (ServiceSpec | undefined)[];
  },
): boolean {
  const isAble = node.description?.dataPlane?.overlay === true;
  return (spec?.task?.networks ?? []).every(({ network: name, optional }) => {
    if (!isAble) return optional;
    const network = records.networkNamed(name);
    const subnet = parseSubnet(network?.subnet ?? "");
    if (network === undefined || subnet === undefined) return false;
    const { addressesPerRange: roomPerRange, firstRange, endRange } = layoutOf(subnet);
    const ranges = records.rangesOf(network.id);
    const hasPart = ranges.some(({ nodeId }) => nodeId === node.id) || ranges.length < endRange - firstRange;
    const used = there.filter((other) => networkNames(other).includes(name)).length;
    return used < roomPerRange && (hasPart || optional);
  });
}
