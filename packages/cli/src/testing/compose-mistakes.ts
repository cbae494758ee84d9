// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this

/** A common mistake in a Compose file, and what the programs of Docker say about it. */
export interface Mistake {
  readonly title: string;
  readonly file: string;
  /** The message of `docker compose config` 2.40.3. "accepted" when it does not notice the mistake. */
  readonly compose?: string;
  /** The message of `docker stack config` 28.2.2. */
  readonly swarm?: string;
}

/** Returns a file with one service `web` and these lines. */
function web(lines: string, rest = ""): string {
  const indented = lines.split("\n").map((line) => `    ${line}\n`);
  return `services:\n  web:\n    image: nginx\n${indented.join("")}${rest}`;
}

/** The mistakes of docs/compose-errors.md. */
export const MISTAKES: readonly Mistake[] = [
  {
    title: "a misspelled key of a service",
    file: web("prots: [80]"),
    compose: "validating c.yaml: services.web additional properties 'prots' not allowed",
    swarm: "services.web Additional property prots is not allowed",
  },
  {
    title: "a misspelled key at the top level",
    file: "service:\n  web:\n    image: nginx\n",
    compose: "validating c.yaml:  additional properties 'service' not allowed",
    swarm: "(root) Additional property service is not allowed",
  },
  {
    title: "a key of Kubernetes in deploy",
    file: web("deploy: {replica: 2}"),
  },
  {
    title: "four mistakes at once",
    file: web(
      "prots: [80]\nrestart: sometimes\nnetworks: [fornt]\nhealthcheck: {retries: three}",
      "networks: {front: }\n",
    ),
    compose: "only the first one, which varies from run to run",
    swarm: "only the first one",
  },
  {
    title: "a file in format version 1",
    file: "web:\n  image: nginx\n  net: host\n",
    compose: "validating c.yaml:  additional properties 'web' not allowed",
    swarm: "(root) Additional property web is not allowed",
  },
  {
    title: "a number instead of a list",
    file: web("ports: 80"),
    compose: "validating c.yaml: services.web.ports must be a array",
    swarm: "services.web.ports must be a list",
  },
  {
    title: "a list instead of a mapping",
    file: "services:\n  - image: nginx\n",
  },
  {
    title: "text instead of a number",
    file: web("healthcheck:\n  test: [CMD, x]\n  retries: three"),
    compose:
      'error while interpolating services.web.healthcheck.retries: failed to cast to expected type: strconv.Atoi: parsing "three": invalid syntax',
    swarm: "services.web.healthcheck.retries must be a number",
  },
  {
    title: "a value instead of a boolean",
    file: web("privileged: maybe"),
  },
  {
    title: "bad indentation",
    file: "services:\n  web:\n    image: nginx\n   ports: []\n",
    compose: "yaml: line 1: did not find expected key",
    swarm: "yaml: line 1: did not find expected key",
  },
  {
    title: "a tab as indentation",
    file: "services:\n\tweb:\n\t\timage: nginx\n",
  },
  {
    title: "a duplicate key",
    file: "services:\n  web:\n    image: nginx\n    image: httpd\n",
    compose: 'line 4: mapping key "image" already defined at line 3',
    swarm: 'line 4: mapping key "image" already defined at line 3',
  },
  {
    title: "an undefined anchor",
    file: "services:\n  web:\n    <<: *common\n    image: nginx\n",
  },
  {
    title: "an empty file",
    file: "",
    compose: "empty compose file",
    swarm: "top-level object must be a mapping",
  },
  {
    title: "a list at the top level",
    file: "- a\n",
    compose: "top-level object must be a mapping",
    swarm: "top-level object must be a mapping",
  },
  {
    title: "no services",
    file: "volumes: {data: }\n",
  },
  {
    title: "a size of Kubernetes",
    file: web("deploy: {resources: {limits: {memory: 512Mi}}}"),
    compose:
      "decoding failed due to the following error(s): 'services[web].deploy.resources.limits.memory' invalid suffix: 'mi'",
    swarm: "… error decoding 'Deploy.Resources.Limits.memory' …",
  },
  {
    title: "a duration without a unit",
    file: web("stop_grace_period: 30"),
    compose: "validating c.yaml: services.web.stop_grace_period must be a string",
    swarm: "services.web.stop_grace_period must be a string",
  },
  {
    title: "CPUs of Kubernetes",
    file: web("cpus: 500m"),
  },
  {
    title: "an undefined network",
    file: web("networks: [fornt]", "networks: {front: }\n"),
    compose: 'service "web" refers to undefined network fornt: invalid compose project',
    swarm: "accepted; fails after other networks have been created",
  },
  {
    title: "an undefined volume",
    file: web('volumes: ["data:/data"]'),
    compose: 'service "web" refers to undefined volume data: invalid compose project',
    swarm: "accepted; fails after networks have been created",
  },
  {
    title: "an undefined secret",
    file: web("secrets: [kye]", "secrets: {key: {file: ./key}}\n"),
    swarm: "accepted; fails after networks have been created",
  },
  {
    title: "a dependency on an undefined service",
    file: web("depends_on: [databse]", "  database: {image: postgres}\n"),
    swarm: "accepted",
  },
  {
    title: "a dependency cycle",
    file: "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n",
    swarm: "accepted",
  },
  {
    title: "extends of an undefined service",
    file: "services:\n  web: {extends: bse}\n  base: {image: nginx}\n",
    swarm: "compose file contains unsupported options",
  },
  {
    title: "a service without an image",
    file: 'services:\n  web:\n    ports: ["80:80"]\n',
    compose: 'service "web" has neither an image nor a build context specified: invalid compose project',
    swarm: "accepted",
  },
  {
    title: "an unclosed variable",
    file: "services:\n  web:\n    image: nginx:${TAG\n",
    compose:
      "invalid interpolation format for services.web.image. You may need to escape any $ with another $. nginx:${TAG",
    swarm:
      'invalid interpolation format for services.web.image: "nginx:${TAG"; you may need to escape any $ with another $',
  },
  {
    title: "a required variable that is not set",
    file: "services:\n  web:\n    image: nginx:${TAG:?set TAG to the release}\n",
    compose:
      "error while interpolating services.web.image: required variable TAG is missing a value: set TAG to the release",
    swarm:
      'invalid interpolation format for services.web.image: "required variable TAG is missing a value: set TAG to the release"; you may need to escape any $ with another $',
  },
  {
    title: "an invalid placement constraint",
    file: web('deploy: {placement: {constraints: ["node.role is manager"]}}'),
    compose: "accepted",
    swarm: "accepted",
  },
  {
    title: "an unknown restart policy",
    file: web("restart: sometimes"),
    compose: "accepted",
    swarm: "accepted",
  },
  {
    title: "an unknown mode",
    file: web("deploy: {mode: replicate}"),
    compose: "accepted",
    swarm: "accepted",
  },
  {
    title: "a port that two services publish",
    file: web('ports: ["80:80"]', '  api:\n    image: nginx\n    ports: ["80:8080"]\n'),
    compose: "accepted",
    swarm: "accepted",
  },
  {
    title: "ranges of ports with different lengths",
    file: web('ports: ["8000-8005:80-90"]'),
  },
  {
    title: "an address without brackets",
    file: web('ports: ["::1:80:80"]'),
    swarm: "accepted",
  },
  {
    title: "a container name with replicas",
    file: web("container_name: web\ndeploy: {replicas: 2}"),
    compose:
      "services.deploy.replicas: can't set container_name and web as container name must be unique: invalid compose project",
    swarm: "accepted",
  },
  {
    title: "the same container name twice",
    file: web("container_name: x1", "  api:\n    image: nginx\n    container_name: x1\n"),
    compose: 'container name "x1" is already in use by service {}"',
    swarm: "accepted",
  },
  {
    title: "replicas of a global service",
    file: web("deploy: {mode: global, replicas: 2}"),
    compose: "accepted",
    swarm: "accepted",
  },
  {
    title: "network_mode and networks",
    file: web("network_mode: host\nnetworks: [default]"),
  },
  {
    title: "two mounts with the same target",
    file: web('volumes: ["/a:/data", "/b:/data/"]\ntmpfs: /data'),
  },
  {
    title: "a health check without CMD",
    file: web("healthcheck: {test: [curl, localhost]}"),
    swarm: "accepted",
  },
  {
    title: "a secret with two sources",
    file: web("secrets: [key]", "secrets: {key: {file: ./key, environment: KEY}}\n"),
  },
  {
    title: "decimal permission bits",
    file: web("configs: [{source: c, mode: 440}]", "configs: {c: {content: a}}\n"),
    compose: "accepted as 0670",
    swarm: "accepted as 0670",
  },
  {
    title: "a host without an address",
    file: web("extra_hosts: [registry]"),
    swarm: "ignored silently",
  },
  {
    title: "an env file that does not exist",
    file: web("env_file: [web.env]"),
  },
];
