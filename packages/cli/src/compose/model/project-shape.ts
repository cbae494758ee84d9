import { keyPlace, listFields, reportWrongType } from "../tree/cursor.js";
import { isNull, mapNode, scalarNode, textOf, withEntry, withoutEntry } from "../tree/node.js";
import { services } from "./service-shape.js";
import { textDictionary } from "./service-shapes.js";
import {
  dictionary,
  fields,
  flag,
  integer,
  keyValues,
  listOf,
  nullable,
  oneOrMore,
  rejected,
  type Shape,
  scalarAsText,
  sensitiveText,
  text,
} from "./shape.js";

const longInclude = fields({ path: oneOrMore(text), env_file: oneOrMore(text), project_directory: text }, [
  "path",
]);

/** `include`: a list of paths and mappings. */
const include: Shape = listOf((cursor, stage) => {
  if (cursor.node.kind === "map") return longInclude(cursor, stage);
  const path = text(cursor, stage);
  return path && longInclude({ ...cursor, node: mapNode([["path", path]], cursor.position) }, stage);
});

/** A network, volume, secret or config, which can be external. The old form `external: {name: …}` is expanded. */
function resource(keys: Readonly<Record<string, Shape>>): Shape {
  const shape = fields({ ...keys, name: text, external });
  return (cursor, stage) => {
    const node = shape(cursor, stage);
    const old = node?.kind === "map" ? node.entries.get("external")?.value : undefined;
    if (node?.kind !== "map" || old?.kind !== "map") return node;
    const name = old.entries.get("name")?.value;
    const isExternal = withEntry(node, "external", scalarNode(true, old.position));
    if (name === undefined) return isExternal;
    if (node.entries.has("name") && textOf(node, "name") !== textOf(old, "name")) {
      cursor.diagnostics.error(cursor, "name and external.name are different: use name only");
    }
    return withEntry(isExternal, "name", name);
  };
}

const external: Shape = (cursor, stage) =>
  cursor.node.kind === "map" ? fields({ name: text })(cursor, stage) : flag(cursor, stage);

const network = resource({
  driver: text,
  driver_opts: textDictionary,
  ipam: fields({
    driver: text,
    config: listOf(fields({ subnet: text, ip_range: text, gateway: text, aux_addresses: dictionary(text) })),
    options: dictionary(text),
  }),
  internal: flag,
  enable_ipv4: flag,
  enable_ipv6: flag,
  attachable: flag,
  labels: keyValues(""),
});

const volume = resource({ driver: text, driver_opts: textDictionary, labels: keyValues("") });

/** A secret or config. Whatever else is written in its place may be a secret, so messages do not quote it. */
function file(keys: Readonly<Record<string, Shape>>): Shape {
  const shape = resource({ ...keys, environment: sensitiveText, file: sensitiveText, template_driver: text });
  return (cursor, stage) => {
    if (cursor.node.kind === "map") return shape(cursor, stage);
    cursor.diagnostics.error(keyPlace(cursor), "must be a mapping");
    return undefined;
  };
}

const secret = file({
  labels: keyValues(""),
  driver: text,
  driver_opts: textDictionary,
  content: rejected("a Compose file cannot contain the content of a secret: use file or environment"),
});

const config = file({ content: sensitiveText, labels: keyValues("") });

const model = fields({ name: text, model: text, context_size: integer, runtime_flags: listOf(text) }, [
  "model",
]);

const projectFields = fields({
  // The value is obsolete and ignored, so it does not matter that YAML reads 3.8 as a number.
  version: scalarAsText,
  name: text,
  include,
  services,
  models: dictionary(model),
  networks: dictionary(nullable(network)),
  volumes: dictionary(nullable(volume)),
  secrets: dictionary(secret),
  configs: dictionary(config),
});

/** A whole Compose file. The obsolete `version` is checked and dropped. */
export const projectShape: Shape = (cursor, stage) => {
  const node = projectFields(cursor, stage);
  const version = listFields(cursor).get("version");
  if (version !== undefined && isNull(version.node)) reportWrongType(version, "text");
  return node?.kind === "map" ? withoutEntry(node, "version") : node;
};
