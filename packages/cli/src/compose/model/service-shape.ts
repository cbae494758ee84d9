import { serviceNameProblem } from "@berth/proto";
import { berthSettings } from "./berth-shape.js";
import { hookFields } from "./command-shapes.js";
import { CONNECTION_KEYS } from "./connection-shape.js";
import { deploy } from "./deploy-shape.js";
import { PROCESS_KEYS } from "./process-shape.js";
import { extension, modelReferences } from "./reference-shapes.js";
import { RESOURCE_KEYS } from "./resource-shape.js";
import { listOf, oneOrMore, UNIQUE_TEXTS } from "./shapes/list-shapes.js";
import { dictionary, fields, key } from "./shapes/map-shapes.js";
import { flag, integer, oneOf, scalarAsText, text } from "./shapes/scalar-shapes.js";
import { nullable, type Shape } from "./shapes/shape.js";
import { REJECTED_BY_SWARM } from "./swarm-support.js";

const watch = listOf(
  fields(
    {
      path: key(text, "Path to watch", "./src", REJECTED_BY_SWARM),
      action: key(
        oneOf("rebuild", "sync", "restart", "sync+restart", "sync+exec"),
        "Action after a change",
        "sync",
        REJECTED_BY_SWARM,
      ),
      target: key(text, "Destination of changed files", "/app", REJECTED_BY_SWARM),
      ignore: key(oneOrMore(text), "Patterns of paths to ignore", ["node_modules/"], REJECTED_BY_SWARM),
      include: key(oneOrMore(text), "Patterns of paths to watch", ["*.js"], REJECTED_BY_SWARM),
      exec: key(
        fields(hookFields(REJECTED_BY_SWARM)),
        "Command to run after a change",
        { command: "reload" },
        REJECTED_BY_SWARM,
      ),
      initial_sync: key(flag, "Copies all files at startup", true, REJECTED_BY_SWARM),
    },
    ["path", "action"],
  ),
);

const provider = fields(
  {
    type: key(text, "Provider program", "cloud-db", REJECTED_BY_SWARM),
    options: key(dictionary(oneOrMore(scalarAsText)), "Provider options", { size: "1" }, REJECTED_BY_SWARM),
  },
  ["type"],
);

const service = fields({
  ...PROCESS_KEYS,
  ...CONNECTION_KEYS,
  ...RESOURCE_KEYS,
  deploy: key(nullable(deploy), "How the service runs in the cluster", { replicas: 2 }),
  scale: key(integer, "Number of replicas, like deploy.replicas", 2, REJECTED_BY_SWARM),
  profiles: key(listOf(text, UNIQUE_TEXTS), "Profiles that enable the service", ["debug"], REJECTED_BY_SWARM),
  extends: key(
    extension,
    "Service from which this service inherits keys",
    { service: "db" },
    REJECTED_BY_SWARM,
  ),
  develop: key(
    nullable(
      fields({
        watch: key(
          watch,
          "Paths for `docker compose watch`",
          [{ path: ".", action: "sync" }],
          REJECTED_BY_SWARM,
        ),
      }),
    ),
    "`docker compose watch` settings",
    { watch: [{ path: ".", action: "sync" }] },
    REJECTED_BY_SWARM,
  ),
  provider: key(
    provider,
    "External program that provides the service",
    { type: "cloud-db" },
    REJECTED_BY_SWARM,
  ),
  models: key(modelReferences, "AI models provided by Docker Model Runner", ["llm"], REJECTED_BY_SWARM),
  use_api_socket: key(flag, "Mounts the Docker socket, with the user's credentials", true, REJECTED_BY_SWARM),
  "x-berth": key(
    nullable(berthSettings),
    "berth settings beyond the Compose Specification",
    { failover: "30s" },
    {
      compose: "ignores it",
      swarm: "ignores it",
    },
  ),
});

/** `services`. */
export const services: Shape = dictionary(service, serviceNameProblem);
