import { type Cursor, listFields, readItems, reportWrongType } from "../tree/cursor.js";
import { fileTarget } from "../tree/merge-rules.js";
import {
  isNull,
  listNode,
  type MapNode,
  mapNode,
  type Node,
  scalarNode,
  scalarText,
  textOf,
  withEntry,
} from "../tree/node.js";
import {
  anything,
  commandLine,
  defineShape,
  dictionary,
  fields,
  flag,
  integer,
  type Keys,
  key,
  keyValues,
  listOf,
  nullable,
  oneOf,
  oneOrMore,
  type Shape,
  scalarAsText,
  text,
} from "./shape.js";
import { DROPPED_BY_SWARM, IGNORED_BY_SWARM, REJECTED_BY_SWARM } from "./swarm-support.js";
import { choiceOf, type KeyDocumentation, listSchema, NULL_SCHEMA, TEXT_SCHEMA } from "./value-schema.js";

/** Directory of a secret whose target is not set. */
const SECRETS_DIRECTORY = "/run/secrets";
const OCTAL = /^(?:0o)?[0-7]{1,6}$/;
const DEFAULT_DEVICE_PERMISSIONS = "rwm";
/** Stands for all devices in the canonical form of a device request. */
const ALL_DEVICES = -1;

/** A set of names, in which equal names are an error. */
export const names: Shape = listOf(text, { isSet: true });

/** A mapping to scalars, as text. */
export const textDictionary: Shape = dictionary(scalarAsText);

const dependency = fields(
  {
    condition: key(
      oneOf("service_started", "service_healthy", "service_completed_successfully"),
      "What the dependency must have reached",
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
  aliases: key(listOf(text), "More names of the service in the network", ["www"]),
  interface_name: key(text, "The name of the network interface", "eth9", REJECTED_BY_SWARM),
  ipv4_address: key(text, "The address of the task. The service can have only one replica", "10.99.0.9", {
    ...DROPPED_BY_SWARM,
  }),
  ipv6_address: key(text, "The IPv6 address of the task", "fd00::9", DROPPED_BY_SWARM),
  link_local_ips: key(listOf(text), "Link-local addresses", ["169.254.8.8"], REJECTED_BY_SWARM),
  mac_address: key(text, "The MAC address in the network", "02:42:ac:11:65:43", REJECTED_BY_SWARM),
  driver_opts: key(textDictionary, "Options of the driver", { "com.example.a": "1" }),
  priority: key(integer, "Order in which containers join their networks", 10, REJECTED_BY_SWARM),
  gw_priority: key(
    integer,
    "The network with the highest value has the default route",
    10,
    REJECTED_BY_SWARM,
  ),
});

/** The networks of a service: a list of names, or a mapping to settings. */
export const attachments: Shape = namesOr(dictionary(nullable(attachment)), (position) =>
  scalarNode(null, position),
);

const modelReference = fields({
  endpoint_var: key(text, "The variable with the URL of the model", "LLM_URL", REJECTED_BY_SWARM),
  model_var: key(text, "The variable with the name of the model", "LLM_NAME", REJECTED_BY_SWARM),
});

/** `models` of a service: a list of names, or a mapping to settings. */
export const modelReferences: Shape = namesOr(dictionary(nullable(modelReference)), (position) =>
  scalarNode(null, position),
);

/** A list of names, or a mapping of names to settings. */
function namesOr(mapping: Shape, valueAt: (position: Node["position"]) => Node): Shape {
  return defineShape(choiceOf(mapping.schema, names.schema), (cursor, stage) =>
    cursor.node.kind === "list" ? namesToMap(cursor, valueAt) : mapping(cursor, stage),
  );
}

function namesToMap(cursor: Cursor, valueAt: (position: Node["position"]) => Node): Node | undefined {
  const list = names(cursor, "project");
  if (list?.kind !== "list") return undefined;
  const entries = list.items.map((item) => {
    const name = item.kind === "scalar" ? item.text : "";
    return [name, valueAt(item.position)] as const;
  });
  return mapNode(entries, cursor.position);
}

/**
 * Permission bits. Text is octal, as in `chmod`. A number has the value that YAML gives it: 0440 and 0o440 are octal, and
 * 440 is decimal, as in Docker, which is rarely meant. The canonical form is octal text.
 */
export const mode: Shape = defineShape({ kind: "scalar", types: ["integer", "string"] }, (cursor) => {
  const { node } = cursor;
  const value = node.kind === "scalar" ? node.value : null;
  if (typeof value === "string" && OCTAL.test(value)) {
    return scalarNode(octalText(Number.parseInt(value.replace("0o", ""), 8)), node.position);
  }
  if (node.kind !== "scalar" || typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    return reportWrongType(cursor, "permission bits such as 0440");
  }
  if (/^[1-7][0-7]*$/.test(node.text)) {
    const message = `${node.text} is a decimal number, which is ${octalText(value)}: write 0${node.text} for the permission bits ${node.text}`;
    cursor.diagnostics.warn(cursor, message);
  }
  return scalarNode(octalText(value), node.position);
});

/** `secrets` and `configs` of a service, and the secrets of its build. A secret of the service is in `/run/secrets`. */
export function fileMounts(use: "secret" | "config" | "build secret"): Shape {
  const kind = use === "config" ? "config" : "secret";
  const target = kind === "secret" ? "/run/secrets/renamed" : "/etc/renamed.conf";
  const source = kind === "secret" ? "key" : "conf";
  const mounted = { with: { source }, compose: "no effect for files" };
  const long = fields({
    source: key(text, `The ${kind}, by its name under the top-level ${kind}s`, source),
    target: key(text, "The path in the containers", target, { with: { source } }),
    uid: key(text, "The owner of the file", "1000", mounted),
    gid: key(text, "The group of the file", "1000", mounted),
    mode: key(mode, "The permission bits of the file", "0440", { ...mounted, swarm: "rejects text" }),
  });
  const item = defineShape(choiceOf(text.schema, long.schema), (cursor, stage) => {
    const mount = cursor.node.kind === "map" ? long(cursor, stage) : sourceOnly(cursor);
    const name = textOf(mount, "source");
    if (mount?.kind !== "map" || use !== "secret" || name === undefined || mount.entries.has("target")) {
      return mount;
    }
    return withEntry(mount, "target", scalarNode(`${SECRETS_DIRECTORY}/${name}`, cursor.position));
  });
  const directory = use === "secret" ? SECRETS_DIRECTORY : "/";
  return listOf(item, { keyOf: (node) => fileTarget(node, directory) });
}

function sourceOnly(cursor: Cursor): MapNode | undefined {
  const node = text(cursor, "project");
  return node && mapNode([["source", node]], cursor.position);
}

function octalText(bits: number): string {
  return `0${bits.toString(8).padStart(3, "0")}`;
}

const longDevice = fields(
  {
    source: key(text, "The path of the device on the host", "/dev/fuse", IGNORED_BY_SWARM),
    target: key(text, "The path of the device in the containers", "/dev/x", IGNORED_BY_SWARM),
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
      const message = `${JSON.stringify(node.text)} is not a device: use SOURCE:TARGET:PERMISSIONS`;
      cursor.diagnostics.error(cursor, message);
      return undefined;
    }
    const parts = { source, target: target || source, permissions };
    const { position } = cursor;
    return mapNode(
      Object.entries(parts).map(([name, value]) => [name, scalarNode(value, position)] as const),
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
      capabilities: key(names, "Capabilities that the devices must have", ["gpu"], REJECTED_BY_SWARM),
      count: key(deviceCount, "Number of devices, or all", 1, REJECTED_BY_SWARM),
      device_ids: key(names, "The devices, instead of a number", ["0"], REJECTED_BY_SWARM),
      driver: key(text, "The driver", "nvidia", REJECTED_BY_SWARM),
      options: key(keyValues(""), "Options of the driver", { a: "b" }, REJECTED_BY_SWARM),
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

const softAndHard = fields(
  {
    soft: key(integer, "The limit that a process can raise", 1024),
    hard: key(integer, "The limit that only root can raise", 2048),
  },
  ["soft", "hard"],
);

/** The limits of a process, by name. */
export const ulimits: Shape = dictionary(
  defineShape(choiceOf(integer.schema, softAndHard.schema), (cursor, stage) =>
    cursor.node.kind === "map" ? softAndHard(cursor, stage) : integer(cursor, stage),
  ),
);

const EXTRA_HOSTS_SCHEMA = choiceOf(
  { kind: "dictionary", values: choiceOf(TEXT_SCHEMA, listSchema(TEXT_SCHEMA)) },
  listSchema(TEXT_SCHEMA),
);

/** `extra_hosts`: a list of `HOST=ADDRESS` or `HOST:ADDRESS`, or a mapping. The canonical form is a sorted list. */
export const extraHosts: Shape = defineShape(EXTRA_HOSTS_SCHEMA, (cursor, stage) => {
  const entries = cursor.node.kind === "map" ? hostsOfMap(cursor) : hostsOfList(cursor);
  if (entries === undefined) return undefined;
  const sorted = entries.toSorted((a, b) => (a.text < b.text ? -1 : 1));
  return listOf(text)({ ...cursor, node: listNode(sorted, cursor.position) }, stage);
});

type Scalars = readonly Extract<Node, { kind: "scalar" }>[];

function hostsOfMap(cursor: Cursor): Scalars {
  return [...listFields(cursor)].flatMap(([host, field]) => {
    const addresses = oneOrMore(text)(field, "project");
    return addresses?.kind === "list" ? addresses.items.map((item) => hostEntry(host, item)) : [];
  });
}

function hostsOfList(cursor: Cursor): Scalars | undefined {
  return readItems(cursor)?.flatMap((item) => {
    const node = text(item, "project");
    if (node?.kind !== "scalar") return [];
    const [, host, addresses] = /^([^=]+)=(.*)$/.exec(node.text) ?? /^([^:]+):(.*)$/.exec(node.text) ?? [];
    if (host !== undefined && addresses !== undefined && !host.includes(":")) {
      return addresses.split(",").map((address) => hostEntry(host, scalarNode(address, node.position)));
    }
    item.diagnostics.error(
      item,
      `${JSON.stringify(node.text)} has no address: use a form such as "db=10.0.0.5"`,
    );
    return [];
  });
}

function hostEntry(host: string, address: Node) {
  const value = address.kind === "scalar" ? scalarText(address) : "";
  return scalarNode(`${host}=${value.replace(/^\[(.+)\]$/, "$1")}`, address.position);
}

const longEnvFile = fields(
  {
    path: key(text, "The path of the file", "web.env", REJECTED_BY_SWARM),
    required: key(flag, "Whether a missing file is an error", false, {
      hasNoEffect: true,
      ...REJECTED_BY_SWARM,
    }),
    format: key(text, "`raw` takes values as they are", "raw", { hasNoEffect: true, ...REJECTED_BY_SWARM }),
  },
  ["path"],
);

const envFileList = oneOrMore(
  defineShape(choiceOf(text.schema, longEnvFile.schema), (cursor, stage) => {
    const path = cursor.node.kind === "map" ? undefined : text(cursor, stage);
    if (path === undefined && cursor.node.kind !== "map") return undefined;
    const node = path === undefined ? longEnvFile(cursor, stage) : mapNode([["path", path]], cursor.position);
    if (node?.kind !== "map" || node.entries.has("required")) return node;
    return withEntry(node, "required", scalarNode(true, cursor.position));
  }),
  { keyOf: (item) => textOf(item, "path") ?? "" },
);

/** `env_file`: text, or a list of text and mappings. */
export const envFiles: Shape = defineShape(
  choiceOf(TEXT_SCHEMA, listSchema(choiceOf(TEXT_SCHEMA, longEnvFile.schema))),
  (cursor, stage) => {
    if (cursor.node.kind === "map") return reportWrongType(cursor, "text or a list");
    return envFileList(cursor, stage);
  },
);

const longExtension = fields(
  {
    service: key(text, "The service", "db", REJECTED_BY_SWARM),
    file: key(text, "The file of the service, if it is another one", "base.yaml", REJECTED_BY_SWARM),
  },
  ["service"],
);

/** `extends`: the name of a service, or a mapping. */
export const extension: Shape = defineShape(choiceOf(text.schema, longExtension.schema), (cursor, stage) => {
  if (cursor.node.kind === "map") return longExtension(cursor, stage);
  const service = text(cursor, stage);
  return service && mapNode([["service", service]], cursor.position);
});

const healthCommand = listOf(text);

/** The command of a health check: text, which a shell runs, or a list in Docker's form. */
export const healthTest: Shape = defineShape(choiceOf(TEXT_SCHEMA, healthCommand.schema), (cursor, stage) => {
  if (cursor.node.kind === "list") return healthCommand(cursor, stage);
  const line = text(cursor, stage);
  return line && listNode([scalarNode("CMD-SHELL", line.position), line], line.position);
});

const optionValue = defineShape(choiceOf(scalarAsText.schema, NULL_SCHEMA), (cursor, stage) =>
  isNull(cursor.node) ? scalarNode("", cursor.position) : scalarAsText(cursor, stage),
);

/** `logging`. */
export const logging: Shape = fields({
  driver: key(text, "The log driver", "local"),
  options: key(dictionary(optionValue), "Options of the log driver", { "max-size": "10m" }),
});

/** Returns the keys of a command that runs in a container. */
export function hookFields(support: Omit<KeyDocumentation, "summary" | "example">): Keys {
  return {
    command: key(nullable(commandLine), "The command", "/run", support),
    user: key(text, "The user of the command", "root", support),
    privileged: key(flag, "Runs the command with all privileges", true, support),
    working_dir: key(text, "The working directory of the command", "/srv", support),
    environment: key(keyValues(), "More environment variables", { A: "b" }, support),
  };
}

/** A list of commands that Compose runs at a point of the life of a container. */
export const hooks: Shape = listOf(
  fields(
    {
      ...hookFields(REJECTED_BY_SWARM),
      command: key(commandLine, "The command", "/run", REJECTED_BY_SWARM),
    },
    ["command"],
  ),
);

/** `pre_start`: containers that run before the container of the service. */
export const preStartHooks: Shape = listOf(
  fields({
    ...hookFields(REJECTED_BY_SWARM),
    image: key(text, "The image, if it is not that of the service", "tools", REJECTED_BY_SWARM),
    per_replica: key(flag, "Whether it runs for each replica", true, REJECTED_BY_SWARM),
  }),
);

/** `storage_opt`, whose values depend on the storage driver. */
export const driverOptions: Shape = dictionary(anything);
