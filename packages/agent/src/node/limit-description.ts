import { DESCRIPTION_LIMITS, isDescriptionText, NodeDescription, toDescriptionText } from "@berth/proto";

/** The names that Docker gives to anonymous volumes: 64 hexadecimal digits. No service can request such a volume. */
const ANONYMOUS_VOLUME = /^[0-9a-f]{64}$/;

/** The parts that are omitted when the whole description is too large, in this order. */
const OPTIONAL_PARTS: readonly (readonly [name: string, without: Partial<NodeDescription>])[] = [
  ["engine labels", { engineLabels: {} }],
  ["listening ports", { listeners: [] }],
  ["volumes", { volumes: [] }],
];

/**
 * Returns the description truncated to the limits that the leader accepts, so that an unusual host is not refused. Its
 * problems list the omissions. Always omits anonymous volumes.
 */
export function limitDescription(description: NodeDescription): NodeDescription {
  const { labels, listeners, problems, volumes, subnets, addresses } = DESCRIPTION_LIMITS;
  const omitted: string[] = [];
  const take = <T>(name: string, items: readonly T[], limit: number): T[] => {
    if (items.length > limit) omitted.push(name);
    return items.slice(0, limit);
  };
  const { dataPlane } = description;
  const validLabels = Object.entries(description.engineLabels).filter((texts) =>
    texts.every(isDescriptionText),
  );
  let limited: NodeDescription = {
    ...description,
    engineLabels: Object.fromEntries(take("engine labels", validLabels, labels)),
    listeners: take("listening ports", description.listeners, listeners),
    problems: description.problems.slice(0, problems - 1).map(toDescriptionText),
    volumes: take(
      "volumes",
      description.volumes.filter((name) => !ANONYMOUS_VOLUME.test(name)),
      volumes,
    ),
    dataPlane: dataPlane && {
      ...dataPlane,
      kernelReason: toDescriptionText(dataPlane.kernelReason),
      overlayReason: toDescriptionText(dataPlane.overlayReason),
      wireguardReason: toDescriptionText(dataPlane.wireguardReason),
      subnets: take("subnets", dataPlane.subnets, subnets),
      // The leader treats an incomplete list as complete.
      addresses: dataPlane.addresses.length > addresses ? [] : dataPlane.addresses,
    },
  };
  for (const [name, without] of OPTIONAL_PARTS) {
    if (
      NodeDescription.encode(limited).finish().length <
      DESCRIPTION_LIMITS.bytes - DESCRIPTION_LIMITS.text
    ) {
      break;
    }
    limited = { ...limited, ...without };
    omitted.push(name);
  }
  if (omitted.length === 0) return limited;
  const message = `this host has too many ${[...new Set(omitted)].join(", ")}: the cluster does not know all of them`;
  return { ...limited, problems: [...limited.problems, message] };
}
