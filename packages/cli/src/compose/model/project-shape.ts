import { keyPlace, listFields, reportWrongType } from "../tree/cursor.js";
import { isNull, mapNode, scalarNode, textOf, withEntry, withoutEntry } from "../tree/node.js";
import { services } from "./service-shape.js";
import { keyValues, textDictionary } from "./shapes/key-value-shapes.js";
import { listOf, oneOrMore } from "./shapes/list-shapes.js";
import { dictionary, fields, type Keys, key } from "./shapes/map-shapes.js";
import { flag, integer, scalarAsText, sensitiveText, text } from "./shapes/scalar-shapes.js";
import { defineShape, nullable, rejected, type Shape } from "./shapes/shape.js";
import { choiceOf, type KeyDocumentation } from "./shapes/value-schema.js";
import { REJECTED_BY_SWARM } from "./swarm-support.js";

const longInclude = fields(
  {
    path: key(
      oneOrMore(text),
      "Files to include; later files override earlier ones",
      "base.yaml",
      REJECTED_BY_SWARM,
    ),
    env_file: key(oneOrMore(text), "Files with variables for the included files", "web.env", {
      hasNoEffect: true,
      ...REJECTED_BY_SWARM,
    }),
    project_directory: key(text, "Base directory of relative paths", "other", {
      hasNoEffect: true,
      ...REJECTED_BY_SWARM,
    }),
  },
  ["path"],
);

/** `include`: a list of paths and mappings. */
const include = listOf(
  defineShape(choiceOf(text.schema, longInclude.schema), (cursor, stage) => {
    if (cursor.node.kind === "map") return longInclude(cursor, stage);
    const path = text(cursor, stage);
    return path && longInclude({ ...cursor, node: mapNode([["path", path]], cursor.position) }, stage);
  }),
);

const oldExternal = fields({ name: key(text, "Older form of the name in the cluster", "shared") });

const external = defineShape(choiceOf(flag.schema, oldExternal.schema), (cursor, stage) =>
  cursor.node.kind === "map" ? oldExternal(cursor, stage) : flag(cursor, stage),
);

/** A network, volume, secret or config, which can be external. The old form `external: {name: …}` is expanded. */
function resource(keys: Keys, withKeys: { readonly with?: KeyDocumentation["with"] & object } = {}): Shape {
  const shape = fields({
    ...keys,
    name: key(text, "Name in the cluster", "shared", {
      ...withKeys,
      swarm: "does not replace variables",
    }),
    external: key(external, "Whether the resource exists outside of the stack", true),
  });
  return defineShape(shape.schema, (cursor, stage) => {
    const node = shape(cursor, stage);
    const externalNode = node?.kind === "map" ? node.entries.get("external")?.value : undefined;
    if (node?.kind !== "map" || externalNode?.kind !== "map") return node;
    const name = externalNode.entries.get("name")?.value;
    const isExternal = withEntry(node, "external", scalarNode(true, externalNode.position));
    if (name === undefined) return isExternal;
    if (node.entries.has("name") && textOf(node, "name") !== textOf(externalNode, "name")) {
      cursor.diagnostics.error(cursor, "name and external.name are different; use name only");
    }
    return withEntry(isExternal, "name", name);
  });
}

const ipam = fields({
  driver: key(text, "IPAM driver", "default", { hasNoEffect: true }),
  config: key(
    listOf(
      fields({
        subnet: key(text, "Subnet", "10.98.0.0/18"),
        ip_range: key(text, "Range of assigned addresses", "10.98.1.0/24", REJECTED_BY_SWARM),
        gateway: key(text, "Gateway address", "10.98.0.1", REJECTED_BY_SWARM),
        aux_addresses: key(
          dictionary(text),
          "Reserved addresses",
          { a: "10.98.0.9" },
          {
            ...REJECTED_BY_SWARM,
          },
        ),
      }),
    ),
    "Subnets of the network",
    [{ subnet: "10.98.0.0/18" }],
  ),
  options: key(dictionary(text), "Driver options", { a: "b" }, REJECTED_BY_SWARM),
});

const network = resource({
  driver: key(text, "Network driver. Both `overlay` and `bridge` networks span all hosts", "bridge", {
    hasNoEffect: true,
    others: ["macvlan"],
    compose: "`bridge` is local",
  }),
  driver_opts: key(
    textDictionary,
    "Driver options: `encrypted` and `com.docker.network.driver.mtu`",
    { encrypted: "" },
    { others: [{ "com.docker.network.bridge.name": "br9" }] },
  ),
  ipam: key(ipam, "IP address management", { config: [{ subnet: "10.98.0.0/18" }] }),
  internal: key(flag, "Isolates the network from other networks", true),
  enable_ipv4: key(flag, "Assigns IPv4 addresses", false, REJECTED_BY_SWARM),
  enable_ipv6: key(flag, "Assigns IPv6 addresses", true, REJECTED_BY_SWARM),
  attachable: key(flag, "Allows containers outside of the stack to join the network", true),
  labels: key(keyValues(""), "Network labels", { team: "shop" }),
});

const volume = resource({
  driver: key(text, "The driver", "nfs"),
  driver_opts: key(textDictionary, "Driver options", { type: "tmpfs", device: "tmpfs" }),
  labels: key(keyValues(""), "Volume labels", { team: "shop" }),
});

const FROM_FILE = { with: { file: "web.env" } };

/** A secret or config. A value of the wrong type may be the secret itself, so messages do not quote it. */
function file(keys: Keys): Shape {
  const own = {
    ...keys,
    file: key(sensitiveText, "File with the content", "other.env"),
    environment: key(sensitiveText, "Environment variable with the content", "A", REJECTED_BY_SWARM),
    template_driver: key(
      text,
      "`golang` replaces placeholders such as `{{.Node.Hostname}}` in the content",
      "golang",
      FROM_FILE,
    ),
  };
  const shape = resource(own, FROM_FILE);
  return defineShape(shape.schema, (cursor, stage) => {
    if (cursor.node.kind === "map") return shape(cursor, stage);
    cursor.diagnostics.error(keyPlace(cursor), "must be a mapping");
    return undefined;
  });
}

const secret = file({
  labels: key(keyValues(""), "Secret labels", { team: "shop" }, FROM_FILE),
  driver: key(text, "Secret driver", "vault", FROM_FILE),
  driver_opts: key(textDictionary, "Driver options", { a: "b" }, FROM_FILE),
  content: key(
    rejected("a Compose file cannot contain the content of a secret; use file or environment"),
    "Not allowed, because a secret does not belong in a Compose file",
    "text",
    { compose: "rejects the file", ...REJECTED_BY_SWARM },
  ),
});

const config = file({
  content: key(sensitiveText, "The content", "text", REJECTED_BY_SWARM),
  labels: key(keyValues(""), "Config labels", { team: "shop" }, FROM_FILE),
});

const model = fields(
  {
    name: key(text, "The name of the model", "llm", REJECTED_BY_SWARM),
    model: key(text, "Model image", "ai/smollm2", REJECTED_BY_SWARM),
    context_size: key(integer, "Size of the context in tokens", 1024, REJECTED_BY_SWARM),
    runtime_flags: key(listOf(text), "Flags for the model runner", ["--verbose"], REJECTED_BY_SWARM),
  },
  ["model"],
);

const projectFields = fields({
  // The value is obsolete and ignored, so it does not matter that YAML reads 3.8 as a number.
  version: key(scalarAsText, "Version of the file format. Obsolete", "3.8", {
    hasNoEffect: true,
    swarm: "requires 3 or later, or no version",
  }),
  name: key(text, "Name of the stack, unless the command line specifies one", "other", REJECTED_BY_SWARM),
  include: key(include, "Compose files to include", ["base.yaml"], REJECTED_BY_SWARM),
  services: key(services, "The services", { other: { image: "nginx" } }),
  models: key(dictionary(model), "AI models", { llm: { model: "ai/smollm2" } }, REJECTED_BY_SWARM),
  networks: key(dictionary(nullable(network)), "The networks", { front: { internal: true } }),
  volumes: key(dictionary(nullable(volume)), "The volumes", { data: { name: "shared" } }),
  secrets: key(dictionary(secret), "The secrets", { key: { file: "other.env" } }),
  configs: key(dictionary(config), "The configs", { conf: { content: "text" } }),
});

/** A whole Compose file. The obsolete `version` is checked and dropped. */
export const projectShape: Shape = defineShape(projectFields.schema, (cursor, stage) => {
  const node = projectFields(cursor, stage);
  const version = listFields(cursor).get("version");
  if (version !== undefined && isNull(version.node)) reportWrongType(version, "text");
  return node?.kind === "map" ? withoutEntry(node, "version") : node;
});
