import { mapNode } from "../tree/node.js";
import { fileMounts } from "./file-shapes.js";
import { extraHosts } from "./host-shapes.js";
import { keyValues } from "./shapes/key-value-shapes.js";
import { listOf, oneOrMore } from "./shapes/list-shapes.js";
import { fields, key } from "./shapes/map-shapes.js";
import { bytes } from "./shapes/quantity-shapes.js";
import { flag, scalarAsText, text } from "./shapes/scalar-shapes.js";
import { defineShape, type Shape } from "./shapes/shape.js";
import { choiceOf } from "./shapes/value-schema.js";
import { IGNORED_BY_SWARM } from "./swarm-support.js";
import { ulimits } from "./ulimit-shape.js";

const longBuild = fields({
  context: key(text, "Build context: a directory or URL", ".", IGNORED_BY_SWARM),
  dockerfile: key(text, "The Dockerfile", "web.Dockerfile", IGNORED_BY_SWARM),
  dockerfile_inline: key(text, "Contents of an inline Dockerfile", "FROM scratch", IGNORED_BY_SWARM),
  entitlements: key(
    listOf(text),
    "Extra privileges for the build. Requires BuildKit",
    ["network.host"],
    IGNORED_BY_SWARM,
  ),
  args: key(keyValues(), "Build arguments", { VERSION: "1" }, IGNORED_BY_SWARM),
  ssh: key(
    keyValues(),
    "SSH agents and keys for the build. Requires BuildKit",
    ["default"],
    IGNORED_BY_SWARM,
  ),
  labels: key(keyValues(""), "Image labels", { team: "shop" }, IGNORED_BY_SWARM),
  cache_from: key(listOf(text), "Cache sources", ["alpine:latest"], IGNORED_BY_SWARM),
  cache_to: key(
    listOf(text),
    "Cache destinations. Ignored without BuildKit",
    ["user/app:cache"],
    IGNORED_BY_SWARM,
  ),
  no_cache: key(flag, "Builds without the cache", true, IGNORED_BY_SWARM),
  no_cache_filter: key(
    oneOrMore(text),
    "Stages to build without the cache. Requires BuildKit",
    ["deps"],
    IGNORED_BY_SWARM,
  ),
  additional_contexts: key(
    keyValues(""),
    "Additional contexts by name. Requires BuildKit",
    { docs: "./docs" },
    IGNORED_BY_SWARM,
  ),
  network: key(text, "Network of the build containers", "host", IGNORED_BY_SWARM),
  provenance: key(
    scalarAsText,
    "Provenance attestation. Ignored without `--push`",
    "mode=max",
    IGNORED_BY_SWARM,
  ),
  sbom: key(scalarAsText, "SBOM attestation. Ignored without `--push`", true, IGNORED_BY_SWARM),
  pull: key(flag, "Always pulls the base images", true, IGNORED_BY_SWARM),
  target: key(text, "Stage to build", "prod", IGNORED_BY_SWARM),
  shm_size: key(bytes, "Size of /dev/shm during the build", "128m", IGNORED_BY_SWARM),
  extra_hosts: key(
    extraHosts,
    "Entries in /etc/hosts during the build",
    ["registry=10.0.0.5"],
    IGNORED_BY_SWARM,
  ),
  isolation: key(text, "Isolation of build containers on Windows", "hyperv", IGNORED_BY_SWARM),
  privileged: key(flag, "Builds with all privileges. Requires BuildKit", true, IGNORED_BY_SWARM),
  secrets: key(fileMounts("build secret"), "Build secrets. Requires BuildKit", ["key"], IGNORED_BY_SWARM),
  tags: key(listOf(text), "Additional image names", ["shop/web:1"], IGNORED_BY_SWARM),
  ulimits: key(ulimits, "Resource limits of build processes", { nofile: 1024 }, IGNORED_BY_SWARM),
  platforms: key(
    listOf(text),
    "Platforms of the image. Only one without `--push`",
    ["linux/amd64"],
    IGNORED_BY_SWARM,
  ),
});

/** `build`: the path of the context, or a mapping. */
export const build: Shape = defineShape(choiceOf(text.schema, longBuild.schema), (cursor, stage) => {
  if (cursor.node.kind === "map") return longBuild(cursor, stage);
  const context = text(cursor, stage);
  return context && mapNode([["context", context]], cursor.position);
});
