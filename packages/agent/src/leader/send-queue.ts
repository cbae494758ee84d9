import type {
  Heartbeat,
  Hello,
  NodeDescription,
  ReportedTask,
  SessionRequest,
  UnknownTask,
  UnknownTasks,
  UsageReport,
  WaitingClients,
} from "@berth/proto";
import { StatusOutbox } from "./status-outbox.js";

/**
 * Time after a status change in which further changes are sent in the same message. Short compared with the start of a
 * container.
 */
const BATCH_WINDOW_MS = 20;

/** A reply to a message of the leader. It is sent in the session in which the message arrived, or not at all. */
export type Reply = Extract<
  SessionRequest["message"],
  {
    readonly $case:
      | "tablesApplied"
      | "probeResult"
      | "traffic"
      | "registryLoginChecked"
      | "imageDigest"
      | "volumeReply"
      | "imageInventory"
      | "imagesRemoved"
      | "imageFetched";
  }
>;

/** Messages of one session that have not been sent yet. */
interface PendingMessages {
  heartbeat: Heartbeat | undefined;
  /** Bounded by the number of requests that the agent answers at a time. */
  readonly replies: Reply[];
  usage: UsageReport | undefined;
  unknownTasks: UnknownTasks | undefined;
  waitingClients: WaitingClients | undefined;
  isDescriptionDue: boolean;
  areStatusesDue: boolean;
  /** Only the hello may be sent before the leader's welcome. */
  isWelcomed: boolean;
  isClosing: boolean;
  /** Continues the session's message stream. Set while it waits for a message. */
  wake: () => void;
}

/**
 * Queues the agent's messages to the leader, most urgent first. Outlives sessions: task statuses and the node's
 * description are kept until a session can send them. All other messages belong to the open session.
 *
 * Its size is bounded even if the leader reads slowly: the queue keeps one reply for each request in progress, one
 * status for each task, and only the latest message of each other kind.
 */
export class SendQueue {
  readonly #statuses = new StatusOutbox();
  #description: NodeDescription;
  #waitingClients: WaitingClients = { services: [] };
  #pending: PendingMessages | undefined;
  #batchTimer: NodeJS.Timeout | undefined;

  constructor(description: NodeDescription) {
    this.#description = description;
  }

  get description(): NodeDescription {
    return this.#description;
  }

  /** Replaces the node's description. */
  setDescription(description: NodeDescription): void {
    this.#description = description;
    this.#update((pending) => {
      pending.isDescriptionDue = true;
    });
  }

  reportStatus(report: ReportedTask): void {
    this.#statuses.put(report);
    this.#scheduleStatuses();
  }

  /** Drops the status of a task that the leader has removed. */
  forgetTask(taskId: string): void {
    this.#statuses.forget(taskId);
  }

  /** Records that the leader has stored all statuses up to this batch. */
  acknowledgeStatuses(batch: number): void {
    this.#statuses.acknowledge(batch);
  }

  /** Resends the statuses that the leader has not acknowledged. */
  markUnacknowledgedUnsent(): void {
    this.#statuses.markUnacknowledgedUnsent();
    if (this.#statuses.hasUnsent) this.#scheduleStatuses();
  }

  /** Queues a usage report. Drops it while no session is open: the next report has newer figures. */
  reportUsage(report: UsageReport): void {
    this.#update((pending) => {
      pending.usage = report;
    });
  }

  /** Queues a report of waiting clients. Each session begins with the last one if clients wait. */
  reportWaitingClients(report: WaitingClients): void {
    this.#waitingClients = report;
    this.#update((pending) => {
      pending.waitingClients = report;
    });
  }

  /** Queues a report of unknown tasks. Drops it while no session is open: each session begins with a new one. */
  reportUnknownTasks(tasks: readonly UnknownTask[]): void {
    this.#update((pending) => {
      pending.unknownTasks = { tasks: [...tasks] };
    });
  }

  /** Queues a heartbeat. Replaces one that was not sent in time. */
  sendHeartbeat(heartbeat: Heartbeat): void {
    this.#update((pending) => {
      pending.heartbeat = heartbeat;
    });
  }

  /** Queues an acknowledgement of tables or the reply to a request. */
  reply(reply: Reply): void {
    this.#update(({ replies }) => replies.push(reply));
  }

  /**
   * Starts a session and returns the messages that follow its hello. Ends the message stream of an earlier session and
   * drops its unsent messages.
   */
  openSession({ description }: Pick<Hello, "description">): AsyncIterable<SessionRequest> {
    const pending: PendingMessages = {
      heartbeat: undefined,
      replies: [],
      usage: undefined,
      unknownTasks: undefined,
      waitingClients: this.#waitingClients.services.length > 0 ? this.#waitingClients : undefined,
      // The description may have changed since the hello was sent.
      isDescriptionDue: description !== this.#description,
      areStatusesDue: false,
      isWelcomed: false,
      isClosing: false,
      wake: () => {},
    };
    const replaced = this.#pending;
    this.#pending = pending;
    replaced?.wake();
    return this.#messages(pending);
  }

  /**
   * Called when the leader has accepted the session. Resends all statuses: a new leader may lack statuses that its
   * predecessor acknowledged.
   */
  onWelcome(): void {
    this.#statuses.markAllUnsent();
    this.#update((pending) => {
      pending.isWelcomed = true;
    });
    this.#scheduleStatuses();
  }

  /** Ends the session's messages once everything pending is sent. */
  closeSession(): void {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    this.#update((pending) => {
      pending.isClosing = true;
      pending.areStatusesDue = true;
    });
    this.#pending = undefined;
  }

  #scheduleStatuses(): void {
    if (this.#pending === undefined) return;
    this.#batchTimer ??= setTimeout(() => {
      this.#batchTimer = undefined;
      this.#update((pending) => {
        pending.areStatusesDue = true;
      });
    }, BATCH_WINDOW_MS);
  }

  #update(change: (pending: PendingMessages) => void): void {
    if (this.#pending === undefined) return;
    change(this.#pending);
    this.#pending.wake();
  }

  async *#messages(pending: PendingMessages): AsyncGenerator<SessionRequest> {
    for (;;) {
      const message = pending.isWelcomed ? this.#takeNext(pending) : undefined;
      if (message !== undefined) yield { message };
      else if (pending.isClosing || (this.#pending !== undefined && this.#pending !== pending)) return;
      else
        await new Promise<void>((resolve) => {
          pending.wake = resolve;
        });
    }
  }

  /** Takes the most urgent message. Statuses come after replies, because there may be one for each task. */
  #takeNext(pending: PendingMessages): SessionRequest["message"] {
    const { heartbeat, usage, unknownTasks, waitingClients } = pending;
    if (heartbeat !== undefined) {
      pending.heartbeat = undefined;
      return { $case: "heartbeat", value: heartbeat };
    }
    const reply = pending.replies.shift();
    if (reply !== undefined) return reply;
    if (waitingClients !== undefined) {
      pending.waitingClients = undefined;
      return { $case: "waitingClients", value: waitingClients };
    }
    if (pending.isDescriptionDue) {
      pending.isDescriptionDue = false;
      return { $case: "description", value: this.#description };
    }
    if (unknownTasks !== undefined) {
      pending.unknownTasks = undefined;
      return { $case: "unknownTasks", value: unknownTasks };
    }
    const statuses = pending.areStatusesDue ? this.#statuses.takeBatch() : undefined;
    if (statuses !== undefined) return { $case: "statuses", value: statuses };
    pending.areStatusesDue = false;
    pending.usage = undefined;
    return usage && { $case: "usage", value: usage };
  }
}
