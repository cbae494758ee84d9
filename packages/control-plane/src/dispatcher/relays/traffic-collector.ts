import type { TrafficReport } from "@berth/proto";
import { onAbort } from "../../runtime/abort.js";
import type { Runtime } from "../../runtime/runtime.js";
import type { Session } from "../session.js";

/** Agents ask a process on their own host: milliseconds. Who is silent for so long is told of as silent. */
const ANSWER_MS = 1_000;

export interface TrafficCollectorOptions {
  readonly runtime: Runtime;
  readonly sessionOf: (nodeId: string) => Session | undefined;
}

interface Question {
  readonly open: Set<string>;
  readonly answers: Map<string, TrafficReport>;
  readonly finish: () => void;
}

/** Asks agents what their hosts' ingress does for a service, or for all. Nothing of it is kept. */
export class TrafficCollector {
  readonly #options: TrafficCollectorOptions;
  readonly #questions = new Map<string, Question>();

  constructor(options: TrafficCollectorOptions) {
    this.#options = options;
  }

  /** By node id, what each of them said within a second. @param serviceName full; empty: all services */
  async collect(
    serviceName: string,
    nodeIds: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, TrafficReport>> {
    const { runtime, sessionOf } = this.#options;
    const requestId = runtime.newId();
    const answers = new Map<string, TrafficReport>();
    const open = new Set<string>();
    if (signal.aborted) return answers;
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        cancel();
        forget();
        this.#questions.delete(requestId);
        resolve();
      };
      const cancel = runtime.clock.after(ANSWER_MS, () => finish());
      const forget = onAbort(signal, () => finish());
      this.#questions.set(requestId, { open, answers, finish });
      for (const nodeId of nodeIds) {
        const session = sessionOf(nodeId);
        if (session === undefined || session.isEnded) continue;
        open.add(nodeId);
        session.send({ $case: "trafficRequest", value: { requestId, serviceName } });
      }
      if (open.size === 0) finish();
    });
    return answers;
  }

  receive(nodeId: string, answer: TrafficReport): void {
    const question = this.#questions.get(answer.requestId);
    if (question === undefined || !question.open.delete(nodeId)) return;
    question.answers.set(nodeId, answer);
    if (question.open.size === 0) question.finish();
  }
}
