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
  context: key(text, "The directory with the Dockerfile and its files", ".", IGNORED_BY_SWARM),
  dockerfile: key(text, "The Dockerfile", "web.Dockerfile", IGNORED_BY_SWARM),
  dockerfile_inline: key(text, "The text of the Dockerfile", "FROM scratch", IGNORED_BY_SWARM),
  entitlements: key(
    listOf(text),
    "Privileges of the build. Needs BuildKit",
    ["network.host"],
    IGNORED_BY_SWARM,
  ),
  args: key(keyValues(), "Arguments of the build", { VERSION: "1" }, IGNORED_BY_SWARM),
  ssh: key(keyValues(), "SSH agents and keys of the build. Needs BuildKit", ["default"], IGNORED_BY_SWARM),
  labels: key(keyValues(""), "Labels of the image", { team: "shop" }, IGNORED_BY_SWARM),
  cache_from: key(listOf(text), "Sources of the cache", ["alpine:latest"], IGNORED_BY_SWARM),
  cache_to: key(
    listOf(text),
    "Destinations of the cache. Ignored without BuildKit",
    ["user/app:cache"],
    IGNORED_BY_SWARM,
  ),
  no_cache: key(flag, "Builds without a cache", true, IGNORED_BY_SWARM),
  no_cache_filter: key(
    oneOrMore(text),
    "Stages to build without a cache. Needs BuildKit",
    ["deps"],
    IGNORED_BY_SWARM,
  ),
  additional_contexts: key(
    keyValues(""),
    "More contexts, by name. Needs BuildKit",
    { docs: "./docs" },
    IGNORED_BY_SWARM,
  ),
  network: key(text, "The network of the build", "host", IGNORED_BY_SWARM),
  provenance: key(
    scalarAsText,
    "Attestation of the provenance. Ignored without `--push`",
    "mode=max",
    IGNORED_BY_SWARM,
  ),
  sbom: key(
    scalarAsText,
    "Attestation with the software bill of materials. Ignored without `--push`",
    true,
    IGNORED_BY_SWARM,
  ),
  pull: key(flag, "Pulls the base images again", true, IGNORED_BY_SWARM),
  target: key(text, "The stage to build", "prod", IGNORED_BY_SWARM),
  shm_size: key(bytes, "Size of /dev/shm during the build", "128m", IGNORED_BY_SWARM),
  extra_hosts: key(
    extraHosts,
    "Entries of /etc/hosts during the build",
    ["registry=10.0.0.5"],
    IGNORED_BY_SWARM,
  ),
  isolation: key(text, "The isolation of the build on Windows", "hyperv", IGNORED_BY_SWARM),
  privileged: key(flag, "Builds with all privileges. Needs BuildKit", true, IGNORED_BY_SWARM),
  secrets: key(fileMounts("build secret"), "Secrets of the build. Needs BuildKit", ["key"], IGNORED_BY_SWARM),
  tags: key(listOf(text), "More names of the image", ["shop/web:1"], IGNORED_BY_SWARM),
  ulimits: key(ulimits, "Limits of the processes of the build", { nofile: 1024 }, IGNORED_BY_SWARM),
  platforms: key(
    listOf(text),
    "Platforms of the image. One without `--push`",
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
