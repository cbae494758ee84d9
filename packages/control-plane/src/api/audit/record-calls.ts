import { AuditRecord_Kind, ControlServiceService, isBerthError } from "@berth/proto";
import type { CallContext, RpcHandlers } from "@berth/proto/rpc";
import type { AuditedCall } from "../../core/audit/audit-record.js";
import type { Decide } from "../../reconciler/writer.js";
import type { ClusterState } from "../../state/cluster-state.js";
import type { ApiContext } from "../api-context.js";
import { requireStackAccess } from "../identities/stack-access.js";
import { AUDIT_RULES, type AuditRule } from "./audit-rules.js";
import { describeCall, recordIfDenied } from "./denied-calls.js";
import { summarizeChanges } from "./summarize-changes.js";

type Control = typeof ControlServiceService;
type Handlers = RpcHandlers<Control>;
type CreateHandlers = (context: ApiContext) => Handlers;
type UnaryMethod = (request: unknown, caller: CallContext) => Promise<unknown>;
type ResponseStreamMethod = (request: unknown, caller: CallContext) => AsyncIterable<unknown>;
type StreamingMethod = (requests: AsyncIterable<unknown>, caller: CallContext) => AsyncIterable<unknown>;
/** A rule without the type of its requests, which belong to the same method. */
type Rule = Extract<AuditRule<unknown>, { readonly kind: "recorded" }>;

/**
 * Returns handlers that record calls according to AUDIT_RULES. A recorded call gets separate handlers, whose writer
 * adds the record to the first decision of the call. The store then has both the record and the change, or neither. The
 * decision also checks the caller's access to the stacks of the call.
 */
export function recordCalls(context: ApiContext, createHandlers: CreateHandlers): Handlers {
  const unrecorded = limitToStacks(createHandlers(context), context);
  const entries = Object.entries(ControlServiceService).map(([key, { requestStream, responseStream }]) => {
    const name = key as keyof Control;
    const rule = AUDIT_RULES[name];
    if (rule.kind === "unrecorded") return [name, unrecorded[name]] as const;
    const recorder = { context, createHandlers, name, rule: rule as unknown as Rule };
    if (responseStream && !requestStream) return [name, recordResponseStreams(recorder)] as const;
    const method = requestStream
      ? recordStreamingCalls(recorder)
      : recordUnaryCalls(recorder, unrecorded[name] as unknown as UnaryMethod);
    return [name, method] as const;
  });
  // The entries have the names of all methods, but TypeScript cannot derive the type of each handler.
  return Object.fromEntries(entries) as unknown as Handlers;
}

/**
 * Returns handlers of unary methods and response streams that check the caller's access to the stacks of each call, and
 * record denied calls.
 */
function limitToStacks(handlers: Handlers, { state, audit }: ApiContext): Handlers {
  const entries = Object.entries(ControlServiceService).map(([key, { path, requestStream }]) => {
    const name = key as keyof Control;
    const method = handlers[name] as unknown as UnaryMethod;
    const limited: UnaryMethod = (request, caller) => {
      try {
        requireStackAccess(name, request, caller.caller, state);
      } catch (error) {
        recordIfDenied(audit, { path, context: caller, subjects: subjectsOf(name, request, state) }, error);
        throw error;
      }
      return method(request, caller);
    };
    return [name, requestStream ? method : limited] as const;
  });
  return Object.fromEntries(entries) as unknown as Handlers;
}

function subjectsOf(name: keyof Control, request: unknown, state: ClusterState): AuditedCall["subjects"] {
  const rule = AUDIT_RULES[name];
  return rule.kind === "recorded" ? (rule as unknown as Rule).subjects(request, state) : [];
}

interface Recorder {
  readonly context: ApiContext;
  readonly createHandlers: CreateHandlers;
  readonly name: keyof Control;
  readonly rule: Rule;
}

function recordUnaryCalls(recorder: Recorder, unrecorded: UnaryMethod): UnaryMethod {
  const { createHandlers, name, rule } = recorder;
  return async (request, caller) => {
    if (rule.isRecorded?.(request) === false) return unrecorded(request, caller);
    const call = new CallRecorder(recorder, caller);
    call.request = request;
    try {
      const method = createHandlers(call.context)[name] as unknown as UnaryMethod;
      const response = await method(request, caller);
      await call.recordUnlessWritten();
      return response;
    } catch (error) {
      call.recordError(error);
      throw error;
    }
  };
}

/** Records calls with a stream of responses. Their handler submits a decision before the first response. */
function recordResponseStreams(recorder: Recorder): ResponseStreamMethod {
  const { createHandlers, name } = recorder;
  return async function* (request, caller) {
    const call = new CallRecorder(recorder, caller);
    call.request = request;
    try {
      const method = createHandlers(call.context)[name] as unknown as ResponseStreamMethod;
      yield* method(request, caller);
    } catch (error) {
      call.recordError(error);
      throw error;
    }
  };
}

/** Records calls with a stream of requests. Their first request describes the call. */
function recordStreamingCalls(recorder: Recorder): StreamingMethod {
  const { createHandlers, name } = recorder;
  return async function* (requests, caller) {
    const call = new CallRecorder(recorder, caller);
    try {
      const method = createHandlers(call.context)[name] as unknown as StreamingMethod;
      yield* method(call.keepFirst(requests), caller);
    } catch (error) {
      call.recordError(error);
      throw error;
    }
  };
}

/** Records one call. */
class CallRecorder {
  /** The first request of the call. Undefined until a streaming call has received it. */
  request: unknown;
  /** The context for the handler of this call. */
  readonly context: ApiContext;
  readonly #recorder: Recorder;
  readonly #caller: CallContext;
  #isWritten = false;

  constructor(recorder: Recorder, caller: CallContext) {
    this.#recorder = recorder;
    this.#caller = caller;
    this.context = {
      ...recorder.context,
      writer: { submit: (decide, signal) => this.#submit(decide, signal) },
    };
  }

  async *keepFirst(requests: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    for await (const request of requests) {
      this.request ??= request;
      yield request;
    }
  }

  /** Records a successful call that made no decision. */
  async recordUnlessWritten(): Promise<void> {
    if (!this.#isWritten) await this.#submit(() => ({ changes: [], result: undefined }), this.#caller.signal);
  }

  /** Records a denied call. Ignores calls that failed because the caller has left or the term has ended. */
  recordError(error: unknown): void {
    const { audit, state, signal } = this.#recorder.context;
    if (this.#isWritten || signal.aborted || this.#caller.signal.aborted) return;
    const errorCode = isBerthError(error) ? error.code : "BERTH_INTERNAL";
    const { rule } = this.#recorder;
    audit.recordRefused({
      ...this.#describeCaller(),
      kind: AuditRecord_Kind.REFUSED,
      subjects: this.#subjects(state),
      summary: this.request === undefined ? "" : (rule.summary?.(this.request) ?? ""),
      errorCode,
    });
  }

  async #submit<T>(decide: Decide<T>, signal: AbortSignal): Promise<T> {
    const { context, rule } = this.#recorder;
    if (this.#isWritten) return context.writer.submit(decide, signal);
    const pending = context.audit.createPending();
    const result = await context.writer.submit((state) => {
      // Checked in the decision, because the name may belong to a different stack since the call arrived.
      requireStackAccess(this.#recorder.name, this.request, this.#caller.caller, state);
      const decision = decide(state);
      const call: AuditedCall = {
        ...this.#describeCaller(),
        kind: rule.recordKind,
        subjects: this.#subjects(state),
        summary: rule.summary?.(this.request) ?? summarizeChanges(decision.changes, state),
        errorCode: "",
      };
      return {
        changes: context.audit.withRecord(state, pending, call, decision.changes),
        result: decision.result,
      };
    }, signal);
    this.#isWritten = true;
    return result;
  }

  #subjects(state: ApiContext["state"]): AuditedCall["subjects"] {
    return this.request === undefined ? [] : this.#recorder.rule.subjects(this.request, state);
  }

  #describeCaller(): Pick<AuditedCall, "method" | "caller" | "client" | "forwardedBy" | "count"> {
    return describeCall(ControlServiceService[this.#recorder.name].path, this.#caller);
  }
}
