import type { Cursor } from "../tree/cursor.js";
import { hasVariables, mapNode, type Node, scalarNode, withEntry } from "../tree/node.js";
import { textDictionary } from "./shapes/key-value-shapes.js";
import { listOf, nameSet } from "./shapes/list-shapes.js";
import { dictionary, fields, key } from "./shapes/map-shapes.js";
import { flag, integer, oneOf, text } from "./shapes/scalar-shapes.js";
import { defineShape, nullable, type Shape } from "./shapes/shape.js";
import { choiceOf } from "./shapes/value-schema.js";
import { DROPPED_BY_SWARM, REJECTED_BY_SWARM } from "./swarm-support.js";

const dependency = fields(
  {
    condition: key(
      oneOf("service_started", "service_healthy", "service_completed_successfully"),
      "Condition that the dependency must meet",
      "service_healthy",
      REJECTED_BY_SWARM,
    ),
    restart: key(flag, "Restarts the service when the dependency is updated", true, REJECTED_BY_SWARM),
    required: key(flag, "Whether the dependency must be part of the stack", false, REJECTED_BY_SWARM),
  },
  ["condition"],
);

const longDependencies = dictionary(
  defineShape(dependency.schema, (cursor, stage) => {
    const node = dependency(cursor, stage);
    if (node?.kind !== "map" || node.entries.has("required")) return node;
    return withEntry(node, "required", scalarNode(true, cursor.position));
  }),
);

/** `depends_on`: a list of services, or a mapping with conditions. */
export const dependencies: Shape = namesOr(longDependencies, (position) =>
  mapNode(
    [
      ["condition", scalarNode("service_started", position)],
      ["required", scalarNode(true, position)],
    ],
    position,
  ),
);

const attachment = fields({
  aliases: key(listOf(text), "Additional names of the service in the network", ["www"]),
  interface_name: key(text, "Name of the network interface", "eth9", REJECTED_BY_SWARM),
  ipv4_address: key(text, "IPv4 address of the task. The service can have only one replica", "10.99.0.9", {
    ...DROPPED_BY_SWARM,
  }),
  ipv6_address: key(text, "IPv6 address of the task", "fd00::9", DROPPED_BY_SWARM),
  link_local_ips: key(listOf(text), "Link-local addresses", ["169.254.8.8"], REJECTED_BY_SWARM),
  mac_address: key(text, "MAC address in the network", "02:42:ac:11:65:43", REJECTED_BY_SWARM),
  driver_opts: key(textDictionary, "Driver options", { "com.example.a": "1" }),
  priority: key(integer, "Order in which containers join their networks", 10, REJECTED_BY_SWARM),
  gw_priority: key(
    integer,
    "Gateway priority: the network with the highest value provides the default route",
    10,
    REJECTED_BY_SWARM,
  ),
});

/** The networks of a service: a list of names, or a mapping to settings. */
export const attachments: Shape = namesOr(dictionary(nullable(attachment)), (position) =>
  scalarNode(null, position),
);

const modelReference = fields({
  endpoint_var: key(text, "Environment variable for the URL of the model", "LLM_URL", REJECTED_BY_SWARM),
  model_var: key(text, "Environment variable for the name of the model", "LLM_NAME", REJECTED_BY_SWARM),
});

/** `models` of a service: a list of names, or a mapping to settings. */
export const modelReferences: Shape = namesOr(dictionary(nullable(modelReference)), (position) =>
  scalarNode(null, position),
);

/** A list of names, or a mapping of names to settings. */
function namesOr(mapping: Shape, valueAt: (position: Node["position"]) => Node): Shape {
  return defineShape(choiceOf(mapping.schema, nameSet.schema), (cursor, stage) =>
    cursor.node.kind === "list" ? namesToMap(cursor, valueAt) : mapping(cursor, stage),
  );
}

function namesToMap(cursor: Cursor, valueAt: (position: Node["position"]) => Node): Node | undefined {
  const list = nameSet(cursor, "project");
  if (list?.kind !== "list") return undefined;
  // Variables in the keys of a mapping are never replaced.
  if (list.items.some(hasVariables)) return list;
  const entries = list.items.map((item) => {
    const name = item.kind === "scalar" ? item.text : "";
    return [name, valueAt(item.position)] as const;
  });
  return mapNode(entries, cursor.position);
}

const longExtension = fields(
  {
    service: key(text, "Service to extend", "db", REJECTED_BY_SWARM),
    file: key(text, "File that contains the service, if it is another file", "base.yaml", REJECTED_BY_SWARM),
  },
  ["service"],
);

/** `extends`: the name of a service, or a mapping. */
export const extension: Shape = defineShape(choiceOf(text.schema, longExtension.schema), (cursor, stage) => {
  if (cursor.node.kind === "map") return longExtension(cursor, stage);
  const service = text(cursor, stage);
  return service && mapNode([["service", service]], cursor.position);
});
