import type { Cursor } from "../tree/cursor.js";
import { mapNode, type Node } from "../tree/node.js";
import { extraHosts, fileMounts, ulimits } from "./service-shapes.js";
import {
  bytes,
  fields,
  flag,
  keyValues,
  listOf,
  oneOrMore,
  type Shape,
  scalarAsText,
  text,
} from "./shape.js";

const longBuild = fields({
  context: text,
  dockerfile: text,
  dockerfile_inline: text,
  entitlements: listOf(text),
  args: keyValues(),
  ssh: keyValues(),
  labels: keyValues(""),
  cache_from: listOf(text),
  cache_to: listOf(text),
  no_cache: flag,
  no_cache_filter: oneOrMore(text),
  additional_contexts: keyValues(""),
  network: text,
  provenance: scalarAsText,
  sbom: scalarAsText,
  pull: flag,
  target: text,
  shm_size: bytes,
  extra_hosts: extraHosts,
  isolation: text,
  privileged: flag,
  secrets: fileMounts("config"),
  tags: listOf(text),
  ulimits,
  platforms: listOf(text),
});

/** `build`: the path of the context, or a mapping. */
export const build: Shape = (cursor: Cursor, stage): Node | undefined => {
  if (cursor.node.kind === "map") return longBuild(cursor, stage);
  const context = text(cursor, stage);
  return context && mapNode([["context", context]], cursor.position);
};
