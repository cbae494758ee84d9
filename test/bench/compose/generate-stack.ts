// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this

/** Number of internal networks, each shared by a group of services. */
const GROUPS = 20;

/** Returns a Compose file with the keys that real files use most. Each service depends on the previous one. */
export function generateStack(services: number): string {
  const numbers = Array.from({ length: services }, (_, index) => index);
  const groups = Array.from({ length: Math.min(GROUPS, services) }, (_, index) => index);
  return [
    "x-common: &common",
    "  restart: always",
    "  logging: {driver: json-file, options: {max-size: 10m}}",
    "services:",
    ...numbers.map(generateService),
    "networks:",
    "  front: {}",
    ...groups.map((group) => `  back-${group}: {internal: true}`),
    "volumes:",
    ...numbers.map((index) => `  data-${index}: {}`),
    "",
  ].join("\n");
}

function generateService(index: number): string {
  const group = index % GROUPS;
  const lines = [
    "    <<: *common",
    `    image: registry.example.org/app-${group}:\${TAG:-1.27}`,
    `    command: [serve, --port, "8080", --shard, "${index}"]`,
    `    environment: {MODE: production, SHARD: "${index}", DATABASE: "db-${group}:5432", LOG: "\${LOG:-info}"}`,
    `    ports: ["${10_000 + index}:8080"]`,
    `    networks: [front, back-${group}]`,
    `    volumes: ["data-${index}:/var/lib/app", "/etc/localtime:/etc/localtime:ro"]`,
    ...(index === 0 ? [] : [`    depends_on: [service-${index - 1}]`]),
    '    healthcheck: {test: [CMD, curl, -f, "http://localhost:8080/"], interval: 10s, retries: 3}',
    "    deploy:",
    "      replicas: 2",
    "      placement: {constraints: [node.labels.zone == a]}",
    '      resources: {limits: {cpus: "0.5", memory: 256M}, reservations: {memory: 64M}}',
    "      update_config: {parallelism: 1, order: start-first}",
    `    labels: {team: shop, shard: "${index}"}`,
  ];
  return [`  service-${index}:`, ...lines].join("\n");
}
