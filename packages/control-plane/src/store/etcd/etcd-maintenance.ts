import type { EtcdClient } from "./client.js";
import type { MemberClients } from "./member.js";

/**
 * Timeout of a defragmentation. etcd copies the database to a new file, which takes about a minute for the largest
 * database on a slow disk.
 */
const DEFRAGMENT_TIMEOUT_MS = 10 * 60_000;

/** Timeout of a compaction. etcd waits until it has removed the compacted revisions. */
const COMPACT_TIMEOUT_MS = 60_000;

/** The size of a member's database, and whether etcd has stopped accepting writes because of it. */
export interface DatabaseStatus {
  /** Size of the file. */
  readonly fileBytes: number;
  /** Size of the pages in use. etcd reuses the others, and returns them to the disk when it defragments. */
  readonly usedBytes: number;
  /** Whether this member has raised the NOSPACE alarm, with which all members refuse writes. */
  readonly hasSpaceAlarm: boolean;
}

/** Maintains the database of the member of the first endpoint. */
export class EtcdMaintenance {
  readonly #client: EtcdClient;

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  /** @throws the errors of reads */
  async status(signal: AbortSignal): Promise<DatabaseStatus> {
    const { header, dbSize, dbSizeInUse } = await this.#call(
      ({ calls }) => calls.maintenance.status(),
      signal,
    );
    const { alarms } = await this.#call(({ calls }) => calls.maintenance.alarm({ action: "Get" }), signal);
    return {
      fileBytes: Number(dbSize),
      usedBytes: Number(dbSizeInUse),
      hasSpaceAlarm: alarms.some(
        ({ memberID, alarm }) => memberID === header.member_id && isSpaceAlarm(alarm),
      ),
    };
  }

  /**
   * Returns the last entry of the log that is committed, and the revision of the database.
   *
   * @throws the errors of reads
   */
  async position(signal: AbortSignal): Promise<{ readonly logIndex: bigint; readonly revision: bigint }> {
    const { header, raftIndex } = await this.#call(({ calls }) => calls.maintenance.status(), signal);
    return { logIndex: BigInt(raftIndex), revision: BigInt(header.revision) };
  }

  /** Removes all revisions before the current one. Watches that are behind list their keys again. */
  async compact(signal: AbortSignal): Promise<void> {
    const { header } = await this.#call(({ calls }) => calls.maintenance.status(), signal);
    const { revision } = header;
    await this.#call(
      ({ calls }) => calls.kv.compact({ revision, physical: true }, { deadline: after(COMPACT_TIMEOUT_MS) }),
      signal,
    );
  }

  /** Returns unused pages to the disk. The member does not respond in the meantime. */
  async defragment(signal: AbortSignal): Promise<void> {
    await this.#call(
      ({ calls }) => calls.maintenance.defragment({ deadline: after(DEFRAGMENT_TIMEOUT_MS) }),
      signal,
    );
  }

  /** Lets the members accept writes again, unless another member has also raised the alarm. */
  async disarmSpaceAlarm(signal: AbortSignal): Promise<void> {
    const { header } = await this.#call(({ calls }) => calls.maintenance.status(), signal);
    const memberID = header.member_id;
    await this.#call(
      ({ calls }) => calls.maintenance.alarm({ action: "Deactivate", memberID, alarm: "Nospace" }),
      signal,
    );
  }

  #call<T>(run: (clients: MemberClients) => Promise<T>, signal: AbortSignal): Promise<T> {
    const [own] = this.#client.members;
    if (own === undefined) throw new RangeError("an etcd client needs an endpoint");
    return this.#client.callMember(own, run, signal);
  }
}

/** etcd calls the alarm NOSPACE; the types of etcd3 use a different name. */
function isSpaceAlarm(alarm: string): boolean {
  return alarm.toUpperCase() === "NOSPACE";
}

function after(timeoutMs: number): number {
  return Date.now() + timeoutMs;
}
