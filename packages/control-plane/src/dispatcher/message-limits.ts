import {
  assertNever,
  BerthError,
  type ImageInventory,
  MAX_NETWORKS,
  MAX_PORTS_PER_SERVICE,
  MAX_STATUS_MESSAGE_LENGTH,
  MAX_UNKNOWN_TASKS,
  type ReportedTask,
  type SessionRequest,
  type TaskStatus,
  type TrafficReport,
  type VolumeReply,
} from "@berth/proto";

/** Maximum length of an ID or an address, in characters. Docker's IDs have 64. */
const MAX_ID_LENGTH = 128;

/** Maximum number of volumes in one reply of an agent. */
const MAX_VOLUMES = 2_000;

/** Maximum length of a container, volume or image name, in characters. Container names contain the service's name. */
const MAX_NAME_LENGTH = 512;

/** Maximum length of any other text (a label, an option, a digest or an error), in characters. */
const MAX_TEXT_LENGTH = 4_096;

/** A list or text of a message, its elements or characters, and the largest number that an agent of this release sends. */
type Limit = readonly [field: string, size: number, maximum: number];

/**
 * Checks the size of each list and text that the leader stores or keeps from an agent's message. The records of a message
 * that passes fit into the store.
 *
 * @throws BerthError BERTH_LIMIT_EXCEEDED
 */
export function requireWithinLimits(nodeId: string, { message }: SessionRequest): void {
  for (const [field, size, maximum] of limitsOf(message)) {
    if (size > maximum) {
      throw limitExceededError(
        nodeId,
        `${field} has ${size} elements or characters, more than the limit of ${maximum}`,
      );
    }
  }
}

function* limitsOf(message: SessionRequest["message"]): Generator<Limit> {
  switch (message?.$case) {
    case "statuses":
      // Agents send at most 500 statuses in a batch.
      yield ["statuses.tasks", message.value.tasks.length, 1_000];
      for (const task of message.value.tasks) yield* reportLimits(task);
      return;
    case "usage":
      // Docker hosts run some thousand containers at most. Connections are reported for tasks on all hosts.
      yield ["usage.tasks", message.value.tasks.length, 10_000];
      yield ["usage.connections", message.value.connections.length, 100_000];
      yield ["usage.opened", message.value.opened.length, 10_000];
      yield* textLimits(
        "usage.opened",
        message.value.opened.map(({ serviceId }) => serviceId),
        MAX_ID_LENGTH,
      );
      yield* idLimits("usage.task_id", message.value.tasks);
      yield* idLimits("usage.task_id", message.value.connections);
      return;
    case "traffic":
      // Agents report at most 5,000 listeners. A service has at most 100,000 tasks.
      yield ["traffic.listeners", message.value.listeners.length, 5_000];
      yield ["traffic.tasks", message.value.traffic?.tasks.length ?? 0, 100_000];
      yield* trafficLimits(message.value);
      return;
    case "registryLoginChecked":
      yield ["registry_login_checked.problem", message.value.problem.length, MAX_STATUS_MESSAGE_LENGTH];
      return;
    case "imageDigest":
      // Agents shorten an error to 500 characters.
      yield ["image_digest.digest", message.value.digest.length, 1_000];
      yield ["image_digest.error", message.value.error.length, 1_000];
      return;
    case "volumeReply":
      yield ["volume_reply.volumes", message.value.volumes.length, MAX_VOLUMES];
      yield ["volume_reply.removed", message.value.removed.length, MAX_VOLUMES];
      yield ["volume_reply.error", message.value.error.length, MAX_STATUS_MESSAGE_LENGTH];
      yield* volumeLimits(message.value);
      return;
    case "imageInventory":
      yield* inventoryLimits(message.value);
      return;
    case "imagesRemoved":
      // Agents report at most 1,000 images.
      yield ["images_removed.image_ids", message.value.imageIds.length, 1_000];
      yield ["images_removed.errors", message.value.errors.length, 1_000];
      yield* textLimits("images_removed.image_ids", message.value.imageIds, MAX_ID_LENGTH);
      yield* textLimits("images_removed.errors", message.value.errors, MAX_TEXT_LENGTH);
      return;
    case "imageFetched":
      yield ["image_fetched.error", message.value.error.length, 1_000];
      return;
    case "unknownTasks":
      yield ["unknown_tasks.tasks", message.value.tasks.length, MAX_UNKNOWN_TASKS];
      for (const { taskId, containerId, containerName } of message.value.tasks) {
        yield ["unknown_tasks.task_id", taskId.length, MAX_ID_LENGTH];
        yield ["unknown_tasks.container_id", containerId.length, MAX_ID_LENGTH];
        yield ["unknown_tasks.container_name", containerName.length, MAX_NAME_LENGTH];
      }
      return;
    case "waitingClients":
      // Agents report at most 1,000 services.
      yield ["waiting_clients.services", message.value.services.length, 1_000];
      yield* textLimits(
        "waiting_clients.service_name",
        message.value.services.map(({ serviceName }) => serviceName),
        MAX_NAME_LENGTH,
      );
      return;
    case "hello":
    case "heartbeat":
    case "description":
    case "probeResult":
    case "tablesApplied":
    case undefined:
      return;
    default:
      assertNever(message);
  }
}

/** Agents report at most 1,000 images with 100 names each. The leader asks for at most 200 layers. */
function* inventoryLimits({ images, layers, error }: ImageInventory): Generator<Limit> {
  yield ["image_inventory.images", images.length, 1_000];
  yield ["image_inventory.layers", layers.length, 1_000];
  yield ["image_inventory.error", error.length, 1_000];
  yield* textLimits("image_inventory.layers", layers, MAX_ID_LENGTH);
  for (const { id, names } of images) {
    yield ["image_inventory.id", id.length, MAX_ID_LENGTH];
    yield ["image_inventory.names", names.length, 100];
    yield* textLimits("image_inventory.names", names, MAX_NAME_LENGTH);
  }
}

function* trafficLimits({ listeners, traffic }: TrafficReport): Generator<Limit> {
  yield* idLimits("traffic.tasks.task_id", traffic?.tasks ?? []);
  for (const { serviceName, stack, port, network } of listeners) {
    yield* textLimits("traffic.listeners", [serviceName, stack, port, network], MAX_NAME_LENGTH);
  }
}

function* volumeLimits({ volumes, removed }: VolumeReply): Generator<Limit> {
  yield* textLimits("volume_reply.removed", removed, MAX_NAME_LENGTH);
  for (const { name, driver, mountpoint, createdAt, labels, driverOpts } of volumes) {
    yield* textLimits("volume_reply.volumes", [name, driver, createdAt], MAX_NAME_LENGTH);
    yield ["volume_reply.mountpoint", mountpoint.length, MAX_TEXT_LENGTH];
    for (const texts of [labels, driverOpts]) yield* mapLimits("volume_reply.volumes", texts);
  }
}

/** Agents send the labels and options of a volume as Docker stores them. */
function* mapLimits(field: string, texts: Readonly<Record<string, string>>): Generator<Limit> {
  const entries = Object.entries(texts);
  yield [field, entries.length, 1_000];
  for (const entry of entries) yield* textLimits(field, entry, MAX_TEXT_LENGTH);
}

function* textLimits(field: string, texts: readonly string[], maximum: number): Generator<Limit> {
  for (const text of texts) yield [field, text.length, maximum];
}

function* idLimits(field: string, tasks: readonly { readonly taskId: string }[]): Generator<Limit> {
  for (const { taskId } of tasks) yield [field, taskId.length, MAX_ID_LENGTH];
}

function* reportLimits({ taskId, status }: ReportedTask): Generator<Limit> {
  yield ["task_id", taskId.length, MAX_ID_LENGTH];
  if (status !== undefined) yield* statusLimits(status);
}

function* statusLimits(status: TaskStatus): Generator<Limit> {
  const { message, containerId, ports, addresses, errorCode } = status;
  yield ["status.message", message.length, MAX_STATUS_MESSAGE_LENGTH];
  yield ["status.error_code", errorCode.length, MAX_ID_LENGTH];
  yield ["status.container_id", containerId.length, MAX_ID_LENGTH];
  // Each port of a service can be published on an IPv4 and on an IPv6 port of the host.
  yield ["status.ports", ports.length, 2 * MAX_PORTS_PER_SERVICE];
  yield ["status.addresses", addresses.length, MAX_NETWORKS];
  for (const { networkId, address, macAddress } of addresses) {
    yield ["status.addresses.network_id", networkId.length, MAX_ID_LENGTH];
    yield ["status.addresses.address", address.length, MAX_ID_LENGTH];
    yield ["status.addresses.mac_address", macAddress.length, MAX_ID_LENGTH];
  }
}

function limitExceededError(nodeId: string, reason: string): BerthError {
  return new BerthError({
    code: "BERTH_LIMIT_EXCEEDED",
    message: `message of node ${nodeId} rejected: ${reason}; restart its agent with the release of this server`,
    details: { nodeId },
  });
}
