import { fileMounts } from "./file-shapes.js";
import { extraHosts } from "./host-shapes.js";
import { mounts } from "./mount-shapes.js";
import { ports } from "./port-shapes.js";
import { attachments, dependencies } from "./reference-shapes.js";
import { listOf, nameSet, oneOrMore, UNIQUE_TEXTS } from "./shapes/list-shapes.js";
import { type Keys, key } from "./shapes/map-shapes.js";
import { scalarAsText, text } from "./shapes/scalar-shapes.js";
import { DROPPED_BY_SWARM, IGNORED_BY_SWARM, REJECTED_BY_SWARM } from "./swarm-support.js";

/** Keys of a service that describe its networks, ports, mounts and files. */
export const CONNECTION_KEYS: Keys = {
  ports: key(ports, "Published ports, on every host", ["8080:80"], {
    swarm: "publishes on all addresses, rejects text for `published`",
  }),
  expose: key(listOf(scalarAsText, UNIQUE_TEXTS), "Ports for other containers. Documentation only", ["80"], {
    hasNoEffect: true,
    ...IGNORED_BY_SWARM,
  }),
  networks: key(attachments, "Networks that the containers join", ["front"], {
    swarm: "ignores addresses silently",
  }),
  network_mode: key(text, "Uses the network of the host or of another container, or no network", "host", {
    others: ["none", "bridge", "service:db", "container:other"],
    ...IGNORED_BY_SWARM,
  }),
  mac_address: key(text, "MAC address of the container", "02:42:ac:11:65:43", IGNORED_BY_SWARM),
  dns: key(oneOrMore(text, UNIQUE_TEXTS), "DNS servers for names outside of the cluster", ["9.9.9.9"]),
  dns_opt: key(listOf(text, UNIQUE_TEXTS), "DNS resolver options", ["timeout:2"], REJECTED_BY_SWARM),
  dns_search: key(oneOrMore(text, UNIQUE_TEXTS), "DNS search domains", ["example.org"]),
  extra_hosts: key(extraHosts, "Entries in /etc/hosts", ["registry=10.0.0.5"], {
    swarm: "ignores an entry without an address silently",
  }),
  links: key(
    listOf(text, UNIQUE_TEXTS),
    "Aliases for other services, which also become dependencies",
    ["db:database"],
    {
      ...IGNORED_BY_SWARM,
    },
  ),
  external_links: key(nameSet, "Links to containers outside of the stack", ["other:db"], IGNORED_BY_SWARM),
  volumes: key(mounts, "Mounts", ["data:/data"], {
    compose: "creates the path of a short bind mount",
    swarm: "ignores z and Z; a task fails when a path does not exist",
  }),
  volumes_from: key(nameSet, "Mounts the volumes of another service", ["db"], REJECTED_BY_SWARM),
  volume_driver: key(
    text,
    "Driver of volumes that do not set one. Not part of the Compose Specification",
    "nfs",
    {
      with: { volumes: ["/cache"] },
      compose: "rejects the file",
      ...REJECTED_BY_SWARM,
    },
  ),
  tmpfs: key(oneOrMore(text, UNIQUE_TEXTS), "In-memory file systems", ["/run:size=64m,mode=1777"], {
    others: ["/run:uid=1000"],
    ...DROPPED_BY_SWARM,
  }),
  secrets: key(
    fileMounts("secret"),
    "Secrets mounted into the containers, by default in /run/secrets",
    ["key"],
    {
      compose: "mounts the file; uid, gid and mode have no effect",
      swarm: "rejects text for `mode`; an edited secret is an error",
    },
  ),
  configs: key(fileMounts("config"), "Configs mounted into the containers", ["conf"], {
    compose: "mounts the file; uid, gid and mode have no effect",
    swarm: "rejects text for `mode`; an edited config is an error",
  }),
  depends_on: key(
    dependencies,
    "Services that must run before the first tasks of this service start",
    { db: { condition: "service_healthy" } },
    { swarm: "ignores lists silently and rejects mappings" },
  ),
};
