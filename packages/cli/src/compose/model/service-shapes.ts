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
  dictionary,
  fields,
  flag,
  integer,
  keyValues,
  listOf,
  nullable,
  oneOf,
  oneOrMore,
  type Shape,
  scalarAsText,
  text,
} from "./shape.js";

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

/** `depends_on`: a list of services, or a mapping with conditions. */
export const dependencies: Shape = (cursor, stage) => {
  if (cursor.node.kind !== "list") return longDependencies(cursor, stage);
  return namesToMap(cursor, (position) =>
    mapNode(
      [
        ["condition", scalarNode("service_started", position)],
        ["required", scalarNode(true, position)],
      ],
      position,
    ),
  );
};

const dependency = fields(
  {
    condition: oneOf("service_started", "service_healthy", "service_completed_successfully"),
    restart: flag,
    required: flag,
  },
  ["condition"],
);

const longDependencies = dictionary((cursor, stage) => {
  const node = dependency(cursor, stage);
  if (node?.kind !== "map" || node.entries.has("required")) return node;
  return withEntry(node, "required", scalarNode(true, cursor.position));
});

/** The networks of a service: a list of names, or a mapping to settings. */
export const attachments: Shape = (cursor, stage) =>
  cursor.node.kind === "list"
    ? namesToMap(cursor, (position) => scalarNode(null, position))
    : longAttachments(cursor, stage);

const longAttachments = dictionary(
  nullable(
    fields({
      aliases: listOf(text),
      interface_name: text,
      ipv4_address: text,
      ipv6_address: text,
      link_local_ips: listOf(text),
      mac_address: text,
      driver_opts: textDictionary,
      priority: integer,
      gw_priority: integer,
    }),
  ),
);

/** `models` of a service: a list of names, or a mapping to settings. */
export const modelReferences: Shape = (cursor, stage) =>
  cursor.node.kind === "list"
    ? namesToMap(cursor, (position) => scalarNode(null, position))
    : dictionary(nullable(fields({ endpoint_var: text, model_var: text })))(cursor, stage);

function namesToMap(cursor: Cursor, valueAt: (position: Node["position"]) => Node): Node | undefined {
  const list = names(cursor, "project");
  if (list?.kind !== "list") return undefined;
  const entries = list.items.map((item) => {
    const name = item.kind === "scalar" ? item.text : "";
    return [name, valueAt(item.position)] as const;
  });
  return mapNode(entries, cursor.position);
}

/** `secrets` and `configs` of a service. A secret without a target is in `/run/secrets`. */
export function fileMounts(kind: "secret" | "config"): Shape {
  const long = fields({ source: text, target: text, uid: text, gid: text, mode });
  const item: Shape = (cursor, stage) => {
    const mount = cursor.node.kind === "map" ? long(cursor, stage) : sourceOnly(cursor);
    const source = textOf(mount, "source");
    if (mount?.kind !== "map" || kind === "config" || source === undefined || mount.entries.has("target")) {
      return mount;
    }
    return withEntry(mount, "target", scalarNode(`${SECRETS_DIRECTORY}/${source}`, cursor.position));
  };
  const directory = kind === "secret" ? SECRETS_DIRECTORY : "/";
  return listOf(item, { keyOf: (node) => fileTarget(node, directory) });
}

function sourceOnly(cursor: Cursor): MapNode | undefined {
  const node = text(cursor, "project");
  return node && mapNode([["source", node]], cursor.position);
}

/**
 * Permission bits. Text is octal, as in `chmod`. A number has the value that YAML gives it: 0440 and 0o440 are octal, and
 * 440 is decimal, as in Docker, which is rarely meant. The canonical form is octal text.
 */
export const mode: Shape = (cursor) => {
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
};

function octalText(bits: number): string {
  return `0${bits.toString(8).padStart(3, "0")}`;
}

const longDevice = fields({ source: text, target: text, permissions: text }, ["source"]);

/** The devices of a service. */
export const devices: Shape = listOf(
  (cursor, stage) => {
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
      Object.entries(parts).map(([key, value]) => [key, scalarNode(value, position)] as const),
      position,
    );
  },
  { keyOf: (item) => textOf(item, "target") ?? textOf(item, "source") ?? "" },
);

const deviceCount: Shape = (cursor, stage) => {
  const { node } = cursor;
  const isAll = node.kind === "scalar" && String(node.value).toLowerCase() === "all";
  return isAll ? scalarNode(ALL_DEVICES, node.position) : integer(cursor, stage);
};

/** Requests for devices of a driver, such as GPUs. */
export function deviceRequests(required: readonly string[]): Shape {
  const request = fields(
    {
      capabilities: names,
      count: deviceCount,
      device_ids: names,
      driver: text,
      options: keyValues(""),
    },
    required,
  );
  return listOf((cursor, stage) => {
    const node = request(cursor, stage);
    if (node?.kind !== "map" || node.entries.has("count") || node.entries.has("device_ids")) return node;
    return withEntry(node, "count", scalarNode(ALL_DEVICES, cursor.position));
  });
}

/** `gpus`: `all`, or device requests. */
export const gpus: Shape = (cursor, stage) => {
  if (cursor.node.kind !== "scalar") return deviceRequests([])(cursor, stage);
  if (oneOf("all")(cursor, stage) === undefined) return undefined;
  const { position } = cursor;
  return listNode([mapNode([["count", scalarNode(ALL_DEVICES, position)]], position)], position);
};

/** The limits of a process, by name. */
export const ulimits: Shape = dictionary((cursor, stage) =>
  cursor.node.kind === "map"
    ? fields({ soft: integer, hard: integer }, ["soft", "hard"])(cursor, stage)
    : integer(cursor, stage),
);

/** `extra_hosts`: a list of `HOST=ADDRESS` or `HOST:ADDRESS`, or a mapping. The canonical form is a sorted list. */
export const extraHosts: Shape = (cursor, stage) => {
  const entries = cursor.node.kind === "map" ? hostsOfMap(cursor) : hostsOfList(cursor);
  if (entries === undefined) return undefined;
  const sorted = entries.toSorted((a, b) => (a.text < b.text ? -1 : 1));
  return listOf(text)({ ...cursor, node: listNode(sorted, cursor.position) }, stage);
};

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

/** `env_file`: text, or a list of text and mappings. */
export const envFiles: Shape = (cursor, stage) => {
  if (cursor.node.kind === "map") return reportWrongType(cursor, "text or a list");
  return envFileList(cursor, stage);
};

const longEnvFile = fields({ path: text, required: flag, format: text }, ["path"]);

const envFileList = oneOrMore(
  (cursor, stage) => {
    const path = cursor.node.kind === "map" ? undefined : text(cursor, stage);
    if (path === undefined && cursor.node.kind !== "map") return undefined;
    const node = path === undefined ? longEnvFile(cursor, stage) : mapNode([["path", path]], cursor.position);
    if (node?.kind !== "map" || node.entries.has("required")) return node;
    return withEntry(node, "required", scalarNode(true, cursor.position));
  },
  { keyOf: (item) => textOf(item, "path") ?? "" },
);

/** `extends`: the name of a service, or a mapping. */
export const extension: Shape = (cursor, stage) => {
  if (cursor.node.kind === "map") return fields({ service: text, file: text }, ["service"])(cursor, stage);
  const service = text(cursor, stage);
  return service && mapNode([["service", service]], cursor.position);
};

/** The command of a health check: text, which a shell runs, or a list in Docker's form. */
export const healthTest: Shape = (cursor, stage) => {
  if (cursor.node.kind === "list") return listOf(text)(cursor, stage);
  const line = text(cursor, stage);
  return line && listNode([scalarNode("CMD-SHELL", line.position), line], line.position);
};

const optionValue: Shape = (cursor, stage) =>
  isNull(cursor.node) ? scalarNode("", cursor.position) : scalarAsText(cursor, stage);

/** `logging`. */
export const logging: Shape = fields({ driver: text, options: dictionary(optionValue) });

/** A list of commands that Compose runs at a point of the life of a container. */
export const hooks: Shape = listOf(
  fields(
    {
      command: commandLine,
      user: text,
      privileged: flag,
      working_dir: text,
      environment: keyValues(),
    },
    ["command"],
  ),
);

/** `pre_start`: containers that run before the container of the service. */
export const preStartHooks: Shape = listOf(
  fields({
    command: nullable(commandLine),
    image: text,
    user: text,
    privileged: flag,
    working_dir: text,
    environment: keyValues(),
    per_replica: flag,
  }),
);

/** `storage_opt`, whose values depend on the storage driver. */
export const driverOptions: Shape = dictionary(anything);
