import { listNode, mapNode, scalarNode, textOf, withEntry } from "../tree/node.js";
import { keyValues } from "./shapes/key-value-shapes.js";
import { listOf, nameSet } from "./shapes/list-shapes.js";
import { fields, key } from "./shapes/map-shapes.js";
import { integer, oneOf, text } from "./shapes/scalar-shapes.js";
import { defineShape, type Shape } from "./shapes/shape.js";
import { choiceOf } from "./shapes/value-schema.js";
import { IGNORED_BY_SWARM, REJECTED_BY_SWARM } from "./swarm-support.js";

const DEFAULT_DEVICE_PERMISSIONS = "rwm";

/** Device count that stands for all devices in the canonical form of a device request. */
const ALL_DEVICES = -1;

const longDevice = fields(
  {
    source: key(text, "Path of the device on the host", "/dev/fuse", IGNORED_BY_SWARM),
    target: key(text, "Path of the device in the containers", "/dev/x", IGNORED_BY_SWARM),
    permissions: key(text, "Permitted access: r (read), w (write), m (create)", "r", IGNORED_BY_SWARM),
  },
  ["source"],
);

/** The devices of a service. */
export const devices: Shape = listOf(
  defineShape(choiceOf(text.schema, longDevice.schema), (cursor, stage) => {
    if (cursor.node.kind === "map") return longDevice(cursor, stage);
    const node = text(cursor, stage);
    if (node?.kind !== "scalar") return undefined;
    const [source = "", target = "", permissions = DEFAULT_DEVICE_PERMISSIONS, ...rest] =
      node.text.split(":");
    if (rest.length > 0) {
      const message = `${JSON.stringify(node.text)} is not a device; use SOURCE:TARGET:PERMISSIONS`;
      cursor.diagnostics.error(cursor, message);
      return undefined;
    }
    const longForm = { source, target: target || source, permissions };
    const { position } = cursor;
    return mapNode(
      Object.entries(longForm).map(([name, value]) => [name, scalarNode(value, position)] as const),
      position,
    );
  }),
  { keyOf: (item) => textOf(item, "target") ?? textOf(item, "source") ?? "" },
);

const deviceCount = defineShape({ kind: "scalar", types: ["integer", "string"] }, (cursor, stage) => {
  const { node } = cursor;
  const isAll = node.kind === "scalar" && String(node.value).toLowerCase() === "all";
  return isAll ? scalarNode(ALL_DEVICES, node.position) : integer(cursor, stage);
});

/** Requests for devices of a driver, such as GPUs. */
export function deviceRequests(required: readonly string[]): Shape {
  const request = fields(
    {
      capabilities: key(nameSet, "Required capabilities of the devices", ["gpu"], REJECTED_BY_SWARM),
      count: key(deviceCount, "Number of devices, or all", 1, REJECTED_BY_SWARM),
      device_ids: key(nameSet, "IDs of the devices, instead of a number", ["0"], REJECTED_BY_SWARM),
      driver: key(text, "Device driver", "nvidia", REJECTED_BY_SWARM),
      options: key(keyValues(""), "Driver options", { a: "b" }, REJECTED_BY_SWARM),
    },
    required,
  );
  const withCount = defineShape(request.schema, (cursor, stage) => {
    const node = request(cursor, stage);
    if (node?.kind !== "map" || node.entries.has("count") || node.entries.has("device_ids")) return node;
    return withEntry(node, "count", scalarNode(ALL_DEVICES, cursor.position));
  });
  return listOf(withCount);
}

const allGpus = oneOf("all");

const gpuRequests = deviceRequests([]);

/** `gpus`: `all`, or device requests. */
export const gpus: Shape = defineShape(choiceOf(allGpus.schema, gpuRequests.schema), (cursor, stage) => {
  if (cursor.node.kind !== "scalar") return gpuRequests(cursor, stage);
  if (allGpus(cursor, stage) === undefined) return undefined;
  const { position } = cursor;
  return listNode([mapNode([["count", scalarNode(ALL_DEVICES, position)]], position)], position);
});
