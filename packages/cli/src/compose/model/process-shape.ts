import { build } from "./build-shape.js";
import { commandLine, healthTest, hooks, preStartHooks } from "./command-shapes.js";
import { envFiles } from "./file-shapes.js";
import { logging } from "./logging-shape.js";
import { keyValues } from "./shapes/key-value-shapes.js";
import { listOf, oneOrMore } from "./shapes/list-shapes.js";
import { fields, type Keys, key } from "./shapes/map-shapes.js";
import { duration } from "./shapes/quantity-shapes.js";
import { flag, matching, scalarAsText, text, truncatedInteger } from "./shapes/scalar-shapes.js";
import { nullable } from "./shapes/shape.js";
import { IGNORED_BY_SWARM, REJECTED_BY_SWARM } from "./swarm-support.js";

const PULL_POLICY =
  /^(?:always|never|build|if_not_present|missing|refresh|daily|weekly|every_(?:[0-9]+[wdhms])+)$/;
const CONTAINER_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

const healthcheck = fields({
  test: key(healthTest, "Command that checks a container", ["CMD", "curl", "-f", "http://localhost"]),
  interval: key(duration, "Time between checks", "10s"),
  timeout: key(duration, "Maximum duration of a check", "5s"),
  retries: key(truncatedInteger, "Number of consecutive failures after which a container is unhealthy", 5),
  start_period: key(duration, "Startup time in which failures do not count", "40s"),
  start_interval: key(duration, "Time between checks during the start period", "1s"),
  disable: key(flag, "Disables the image's health check", true),
});

/** Keys of a service that describe its image and its process. */
export const PROCESS_KEYS: Keys = {
  image: key(
    text,
    "Image of the containers. Its tag is resolved to a digest once per deployment",
    "nginx:1.27",
  ),
  build: key(build, "How to build the image", ".", {
    swarm: "ignores it with a warning; an image is required",
  }),
  pull_policy: key(
    matching(PULL_POLICY, "use always, missing, never, build, daily, weekly or every_12h"),
    "When nodes pull the image",
    "always",
    { others: ["build", "daily", "every_12h"], ...REJECTED_BY_SWARM },
  ),
  pull_refresh_after: key(text, "Time after which the image is pulled again", "24h", REJECTED_BY_SWARM),
  platform: key(
    text,
    "Platform of the image. Tasks are placed on nodes with this platform",
    "linux/amd64",
    REJECTED_BY_SWARM,
  ),
  command: key(nullable(commandLine), "Overrides the image's command", ["nginx", "-g", "daemon off;"], {
    swarm: "splits text with other rules, and rejects null",
  }),
  entrypoint: key(nullable(commandLine), "Overrides the image's entrypoint", "/entry.sh", {
    swarm: "rejects null",
  }),
  environment: key(
    keyValues(),
    "Environment variables",
    { MODE: "production" },
    { swarm: "rejects booleans" },
  ),
  env_file: key(envFiles, "Files with environment variables, which the CLI reads", "web.env", {
    swarm: "supports no quotes, variables or mappings",
  }),
  working_dir: key(text, "Working directory of the process", "/srv"),
  user: key(text, "User, and optionally group, of the process", "1000:1000"),
  group_add: key(
    listOf(scalarAsText, { rejectsDuplicates: true }),
    "Supplementary groups of the process",
    ["audio"],
    REJECTED_BY_SWARM,
  ),
  hostname: key(text, "Hostname of the containers, and an alias of the service in its networks", "web-1"),
  domainname: key(text, "Domain name of the containers", "example.org", IGNORED_BY_SWARM),
  container_name: key(
    matching(CONTAINER_NAME, "use at least two letters, digits, -, _ or ."),
    "Alias of the service in its networks",
    "shop-web",
    { compose: "names the container", ...IGNORED_BY_SWARM },
  ),
  tty: key(flag, "Allocates a pseudo-TTY", true),
  stdin_open: key(flag, "Keeps standard input open", true),
  init: key(flag, "Runs an init process that forwards signals and reaps processes", true),
  stop_signal: key(text, "Signal to stop a container", "SIGINT"),
  stop_grace_period: key(duration, "Time between the stop signal and SIGKILL", "30s"),
  healthcheck: key(
    healthcheck,
    "Health check of the containers. Updates wait for it, and a task gets no connections while it fails",
    { test: "curl -f http://localhost" },
    { compose: "does not replace an unhealthy container" },
  ),
  pre_start: key(
    preStartHooks,
    "Init containers that run before the service's container",
    [{ command: "migrate" }],
    REJECTED_BY_SWARM,
  ),
  post_start: key(
    hooks,
    "Commands to run in a container after it has started",
    [{ command: "/warm-up" }],
    REJECTED_BY_SWARM,
  ),
  pre_stop: key(
    hooks,
    "Commands to run in a container before it is stopped",
    [{ command: "/drain" }],
    REJECTED_BY_SWARM,
  ),
  restart: key(
    text,
    "When to replace a task that has ended. deploy.restart_policy takes precedence",
    "on-failure:3",
    {
      compose: "does not check the value",
      swarm: "honors it, with a warning that it does not",
    },
  ),
  labels: key(keyValues(""), "Container labels", { team: "shop" }),
  label_file: key(oneOrMore(text), "Files with container labels", "web.labels", REJECTED_BY_SWARM),
  annotations: key(
    keyValues(""),
    "Container annotations for the OCI runtime",
    { note: "a" },
    REJECTED_BY_SWARM,
  ),
  logging: key(logging, "Logging driver of the containers", {
    driver: "json-file",
    options: { "max-size": "10m" },
  }),
  attach: key(flag, "Whether `up` shows the output of the service", false, REJECTED_BY_SWARM),
};
