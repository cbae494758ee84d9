import { hostname } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { assertNever, BERTH_VERSION } from "@berth/proto";
import { parseCertificate } from "@berth/proto/identity";
import { trustOf } from "@berth/proto/rpc";
import type { Logger } from "pino";
import type { EtcdTrust } from "../core/authorities/etcd-rotation.js";
import type { ServerRegistration } from "../core/membership/server-records.js";
import type { SchemaVersions } from "../core/schema/migrations.js";
import type { ServerIdentity } from "../identity/server-identity.js";
import { sleep } from "../runtime/clock.js";
import { Emitter } from "../runtime/emitter.js";
import { Notifier } from "../runtime/notifier.js";
import type { Runtime } from "../runtime/runtime.js";
import type { LeaderRecord } from "../store/election.js";
import { type HeldLease, holdLease } from "../store/held-lease.js";
import { isServerKey, SERVERS_PREFIX, serverKey } from "../store/keys.js";
import { listAndWatch } from "../store/list-watch.js";
import type { Entry, Store, WatchEvent } from "../store/store.js";
import type { OwnEtcd } from "./own-etcd.js";

/** Time to live of a registration. An agent that tries a dead server wastes one refused connection. */
const TTL_SECONDS = 10;

/** Pause before a failed registration is repeated. */
const RETRY_MS = 1_000;

/** Schema of servers that do not register one: releases before 0.2.0. */
const FIRST_SCHEMA: SchemaVersions = { oldest: 1, newest: 1 };

export interface ServerRegistryOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Identity of the server. Undefined without TLS, as in simulations. */
  readonly identity?: Pick<ServerIdentity, "serverId" | "rpc" | "clusterKey"> | undefined;
  /** The versions of the records that this server supports. */
  readonly schema: SchemaVersions;
  /** Certificates of the embedded etcd. Undefined with an external etcd. */
  readonly etcd?: Pick<OwnEtcd, "trust" | "subscribe"> | undefined;
}

/** Registers this server under a leased key in etcd, and watches the keys of all servers. */
export class ServerRegistry {
  readonly #options: ServerRegistryOptions;
  readonly #serverId: string;
  /** Registrations by key. */
  readonly #registrations = new Map<string, ServerRegistration>();
  readonly #changed = new Emitter();
  #ownAddress: string | undefined;
  #webUrl = "";

  constructor(options: ServerRegistryOptions) {
    this.#options = options;
    this.#serverId = options.identity?.serverId ?? options.runtime.newId();
  }

  /** Sets the advertised address of this server, which is known once it listens. */
  setOwnAddress(address: string): void {
    this.#ownAddress = address;
  }

  /** Sets the URL of this server's web UI. */
  setWebUrl(url: string): void {
    this.#webUrl = url;
  }

  /** Returns the addresses of all servers, including this one. */
  addresses(): readonly string[] {
    const ownAddresses = this.#ownAddress === undefined ? [] : [this.#ownAddress];
    const registered = this.registrations().map(({ address }) => address);
    return [...new Set([...ownAddresses, ...registered])].sort();
  }

  /** Returns the registrations of all running servers. */
  registrations(): readonly ServerRegistration[] {
    return [...this.#registrations.values()];
  }

  /** Calls the listener when a registration has changed. The returned function removes the listener. */
  onChange(listener: () => void): () => void {
    return this.#changed.on(listener);
  }

  /** Returns the addresses of all servers except this one and the leader. */
  peersExcept(leader: LeaderRecord): readonly string[] {
    const leaderAddress = parseServerAddress(leader.value);
    return this.addresses().filter((address) => address !== this.#ownAddress && address !== leaderAddress);
  }

  /** Keeps this server registered and watches the others until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#register(signal), this.#watch(signal)]);
  }

  async #register(signal: AbortSignal): Promise<void> {
    const { store, runtime, logger } = this.#options;
    const { clock } = runtime;
    while (!signal.aborted) {
      let lease: HeldLease | undefined;
      try {
        lease = await holdLease({ leases: store.leases, clock, ttlSeconds: TTL_SECONDS }, signal);
        await this.#keepRegistered(lease, signal);
      } catch (error) {
        if (signal.aborted) break;
        logger.debug({ err: error }, "server registration failed");
      } finally {
        await lease?.release();
      }
      await sleep(clock, RETRY_MS, signal);
    }
  }

  /**
   * Writes the key, and rewrites it when the certificate, the trusted authorities, the cluster keys or the authorities of
   * etcd change, until the lease is lost.
   */
  async #keepRegistered(lease: HeldLease, signal: AbortSignal): Promise<void> {
    const { identity, etcd } = this.#options;
    const changed = new Notifier();
    const sources = [identity?.rpc, identity?.clusterKey, etcd].filter((source) => source !== undefined);
    const unsubscribes = sources.map((source) => source.subscribe(() => changed.notifyAll()));
    try {
      while (!lease.lost.aborted) {
        const registration = this.#ownRegistration();
        await this.#putKey(lease, registration, signal);
        while (!lease.lost.aborted && isDeepStrictEqual(registration, this.#ownRegistration())) {
          await changed.wait(lease.lost);
        }
      }
    } finally {
      for (const unsubscribe of unsubscribes) unsubscribe();
    }
  }

  #ownRegistration(): ServerRegistration {
    const { identity, etcd } = this.#options;
    const material = identity?.rpc.current;
    const { certificate } = material?.leaf ?? {};
    return {
      id: this.#serverId,
      address: this.#ownAddress ?? "",
      hostname: hostname(),
      version: BERTH_VERSION,
      webUrl: this.#webUrl,
      schema: this.#options.schema,
      authorities:
        material === undefined ? [] : trustOf(material).authorities.map((authority) => authority.fingerprint),
      keys: identity === undefined ? [] : identity.clusterKey.versions.map((version) => version.id),
      certificateExpiresAtMs:
        certificate === undefined ? 0 : Date.parse(parseCertificate(certificate).validTo),
      etcd: etcd?.trust,
    };
  }

  async #putKey(
    { leaseId }: HeldLease,
    registration: ServerRegistration,
    signal: AbortSignal,
  ): Promise<void> {
    const value = JSON.stringify(registration);
    const key = serverKey(this.#serverId);
    const outcome = await this.#options.store.txn({ ops: [{ kind: "put", key, value, leaseId }] }, signal);
    if (outcome.kind === "unknown") throw outcome.cause;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { store, runtime } = this.#options;
    const span = { prefix: SERVERS_PREFIX };
    for await (const message of listAndWatch({ store, clock: runtime.clock, span }, signal)) {
      switch (message.kind) {
        case "unreachable":
          break; // The known servers stay listed until etcd answers again.
        case "snapshot":
          this.#registrations.clear();
          for (const entry of message.entries) this.#set(entry);
          break;
        case "events":
          this.#applyEvents(message.events);
          break;
        default:
          assertNever(message);
      }
      this.#changed.emit();
    }
  }

  #applyEvents(events: readonly WatchEvent[]): void {
    for (const event of events) {
      if (event.kind === "put") {
        this.#set(event.entry);
      } else {
        this.#registrations.delete(event.key);
      }
    }
  }

  #set({ key, value }: Entry): void {
    const registration = isServerKey(key) ? parseRegistration(value) : undefined;
    if (registration !== undefined) this.#registrations.set(key, registration);
  }
}

/** Maximum number of authorities in the registration of a server. A cluster has fewer. */
const MAX_AUTHORITIES = 16;

/** Pattern of a fingerprint: SHA-256 in lower-case hexadecimal digits. */
const FINGERPRINT_PATTERN = /^[0-9a-f]{64}$/;

/** Maximum number of cluster keys in the registration of a server. A server has two during a rotation. */
const MAX_KEYS = 8;

/** Pattern of the ID of a cluster key: 128 bits in lower-case hexadecimal digits. */
const KEY_ID_PATTERN = /^[0-9a-f]{32}$/;

/**
 * Maximum length of a text in the registration of a server. A host name has at most 253 characters, and other texts are
 * shorter.
 */
const MAX_TEXT_CHARS = 253;

/** Parses the value of a server's key. A server of an earlier release writes only its address and version. */
export function parseRegistration(text: string): ServerRegistration | undefined {
  const address = parseServerAddress(text);
  if (address === undefined) return undefined;
  const value: Readonly<Record<string, unknown>> = JSON.parse(text);
  const { authorities, keys, certificateExpiresAtMs } = value;
  return {
    address,
    id: parseText(value.id),
    hostname: parseText(value.hostname),
    version: parseText(value.version),
    webUrl: parseText(value.webUrl),
    authorities: parseFingerprints(authorities),
    keys: Array.isArray(keys) ? keys.slice(0, MAX_KEYS).filter(isKeyId) : undefined,
    schema: parseSchemaVersions(value.schema),
    certificateExpiresAtMs: Number.isSafeInteger(certificateExpiresAtMs) ? Number(certificateExpiresAtMs) : 0,
    etcd: parseEtcdTrust(value.etcd),
  };
}

function parseFingerprints(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.slice(0, MAX_AUTHORITIES).filter(isFingerprint) : [];
}

function parseEtcdTrust(value: unknown): EtcdTrust | undefined {
  const { issuer, trusted }: { readonly issuer?: unknown; readonly trusted?: unknown } = Object(value);
  return isFingerprint(issuer) ? { issuer, trusted: parseFingerprints(trusted) } : undefined;
}

function isFingerprint(value: unknown): value is string {
  return typeof value === "string" && FINGERPRINT_PATTERN.test(value);
}

function isKeyId(value: unknown): value is string {
  return typeof value === "string" && KEY_ID_PATTERN.test(value);
}

function parseText(value: unknown): string {
  return typeof value === "string" ? value.slice(0, MAX_TEXT_CHARS) : "";
}

function parseSchemaVersions(value: unknown): SchemaVersions {
  const { oldest, newest }: { readonly oldest?: unknown; readonly newest?: unknown } = Object(value);
  return Number.isSafeInteger(oldest) && Number.isSafeInteger(newest)
    ? { oldest: Number(oldest), newest: Number(newest) }
    : FIRST_SCHEMA;
}

/** Returns the address in the value of a server's key or of the leader key, or undefined if the value is invalid. */
export function parseServerAddress(value: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed !== "object" || parsed === null || !("address" in parsed)) return undefined;
    return typeof parsed.address === "string" ? parsed.address : undefined;
  } catch {
    return undefined;
  }
}
