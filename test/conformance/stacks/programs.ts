import { fileURLToPath } from "node:url";
import type { StackService } from "./stack.js";

/** A program from this machine that runs in place of an image. */
export interface Program {
  /**
   * Directory of the program's image in `images/`. The image contains `check ADDRESS [PORT]`, which tests that the
   * program replies.
   */
  readonly name: string;
  readonly debianPackage?: string;
  /** Matches the images that the program replaces. */
  readonly images: RegExp;
  /** Programs in the image that stacks' health checks use. */
  readonly healthPrograms?: readonly string[];
  /**
   * Returns the content of a configuration file that a stack mounts and the corpus lacks, by its path in the container,
   * or undefined if the program does not need the file.
   */
  readonly configuration?: (target: string, stack: ConfiguredService) => string | undefined;
}

/** A service and the services on its networks. */
export interface ConfiguredService {
  readonly service: StackService;
  readonly neighbors: readonly StackService[];
}

/** Port on which stand-ins serve their web page. */
const STAND_IN_PORT = 8080;

/** Programs that Debian packages, for the official images of the same programs. */
export const PROGRAMS: readonly Program[] = [
  {
    name: "nginx",
    debianPackage: "nginx-light",
    images: official("nginx"),
    configuration: nginxConfiguration,
  },
  {
    name: "postgres",
    debianPackage: "postgresql",
    images: official("postgres"),
    healthPrograms: ["pg_isready", "psql"],
  },
  { name: "redis", debianPackage: "redis-server", images: official("redis"), healthPrograms: ["redis-cli"] },
  {
    name: "haproxy",
    debianPackage: "haproxy",
    images: official("haproxy"),
    configuration: haproxyConfiguration,
  },
  {
    name: "prometheus",
    debianPackage: "prometheus",
    images: official("prom/prometheus"),
    configuration: prometheusConfiguration,
  },
];

/** The program that replaces all other images. */
export const STAND_IN: Program = { name: "stand-in", images: /^/ };

/** Returns the program that runs in place of an image. */
export function programFor(image: string): Program {
  return PROGRAMS.find(({ images }) => images.test(image)) ?? STAND_IN;
}

/** Returns the tag of a program's image in the lab. */
export function tagOf({ name }: Program): string {
  return `${name}:stand-in`;
}

/** Returns the build directory of a program's image. */
export function directoryOf({ name }: Program): string {
  return fileURLToPath(new URL(`images/${name}`, import.meta.url));
}

/** Matches a Docker Hub image with any tag, such as nginx, library/nginx:1.27 and docker.io/library/nginx@sha256:…. */
function official(name: string): RegExp {
  return new RegExp(`^(?:docker\\.io/)?(?:library/)?${name}(?::|@|$)`);
}

/** Configures a web server on the service's ports. */
function nginxConfiguration(target: string, { service }: ConfiguredService): string | undefined {
  const ports = service.ports.length === 0 ? [80] : service.ports;
  const listen = ports.map((port) => `listen ${port};`).join(" ");
  const server = `server { ${listen} root /usr/share/nginx/html; }\n`;
  if (/^\/etc\/nginx\/conf\.d\/[^/]+\.conf$/.test(target)) return server;
  return target === "/etc/nginx/nginx.conf" ? `user nginx;\nevents {}\nhttp {\n${server}}\n` : undefined;
}

/** Configures a proxy on the service's ports that forwards requests to the service's neighbors. */
function haproxyConfiguration(_target: string, { service, neighbors }: ConfiguredService): string {
  const backends = neighbors.filter(({ image }) => programFor(image) === STAND_IN);
  return `resolvers cluster
  parse-resolv-conf
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend all
${service.ports.map((port) => `  bind :${port}\n`).join("")}  default_backend neighbors
backend neighbors
  default-server check resolvers cluster init-addr none
${backends.map(({ name }) => `  server ${name} ${name}:${STAND_IN_PORT}\n`).join("")}`;
}

/** Configures a Prometheus that scrapes its own metrics. */
function prometheusConfiguration(target: string): string | undefined {
  if (!/prometheus\.ya?ml$/.test(target)) return undefined;
  return 'scrape_configs:\n  - job_name: prometheus\n    static_configs:\n      - targets: ["localhost:9090"]\n';
}
