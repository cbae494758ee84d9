import { AssignedNetwork, DnsEntry } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildSpec } from "../../core/testing/records.js";
import { NetworkFeed, type NetworkSource } from "./network-feed.js";

const using = (...networks: readonly string[]) =>
  buildSpec({ task: { container: { image: "x" }, networks: networks.map((network) => ({ network })) } });

/** Networks "a" and "b" with the IDs "ida" and "idb", and what is true of them. */
class Truth implements NetworkSource {
  readonly networks = new Map<string, AssignedNetwork>();
  readonly names = new Map<string, DnsEntry>();

  constructor(...ids: readonly string[]) {
    for (const id of ids) this.networks.set(id, AssignedNetwork.fromPartial({ id }));
  }

  name(key: string): this {
    this.names.set(key, DnsEntry.fromPartial({ key }));
    return this;
  }

  networkIdOf(name: string): string {
    return `id${name}`;
  }

  network(id: string): AssignedNetwork | undefined {
    return this.networks.get(id);
  }

  dnsKeys(id: string): readonly string[] {
    return [...this.names.keys()].filter((key) => key.startsWith(`${id}/`));
  }

  dnsEntry(key: string): DnsEntry | undefined {
    return this.names.get(key);
  }
}

function takenChanges(sent: NetworkFeed) {
  const { networks, removedNetworkIds, dnsEntries: names, removedDnsKeys } = sent.takeChanges();
  return {
    networks: networks.map(({ id }) => id),
    gone: removedNetworkIds,
    names: names.map(({ key }) => key),
    goneNames: removedDnsKeys,
  };
}

const NOTHING = { networks: [], gone: [], names: [], goneNames: [] };

describe("NetworkFeed", () => {
  it("sends a network with its first task, and removes it with its last", () => {
    const truth = new Truth("ida", "idb").name("ida/s1").name("ida/s2").name("idb/s3");
    const sent = new NetworkFeed(truth);
    sent.addTask("t1", using("a"));
    expect(takenChanges(sent)).toEqual({ ...NOTHING, networks: ["ida"], names: ["ida/s1", "ida/s2"] });
    sent.addTask("t2", using("a", "b"));
    expect(takenChanges(sent)).toEqual({ ...NOTHING, networks: ["idb"], names: ["idb/s3"] });
    sent.removeTask("t1");
    expect(sent.isStale).toBe(false);
    sent.removeTask("t2");
    expect(takenChanges(sent)).toEqual({
      ...NOTHING,
      gone: ["ida", "idb"],
      goneNames: ["ida/s1", "ida/s2", "idb/s3"],
    });
  });

  it("sends only changes, and only in networks of the node's tasks", () => {
    const truth = new Truth("ida", "idb").name("ida/s1");
    const sent = new NetworkFeed(truth);
    sent.addTask("t1", using("a"));
    takenChanges(sent);
    sent.markDnsEntryStale("idb/s3");
    sent.markNetworkStale("idb");
    expect(sent.isStale).toBe(false);
    truth.name("ida/s2");
    sent.markDnsEntryStale("ida/s2");
    expect(sent.isDnsTableStale).toBe(true);
    expect(takenChanges(sent)).toEqual({ ...NOTHING, names: ["ida/s2"] });
    truth.names.delete("ida/s1");
    sent.markDnsEntryStale("ida/s1");
    sent.markNetworkStale("ida");
    expect(takenChanges(sent)).toEqual({ ...NOTHING, networks: ["ida"], goneNames: ["ida/s1"] });
    expect(takenChanges(sent)).toEqual(NOTHING);
  });

  it("sends a network once the node has a range of it", () => {
    const truth = new Truth().name("ida/s1");
    const sent = new NetworkFeed(truth);
    sent.addTask("t1", using("a"));
    expect(takenChanges(sent)).toEqual(NOTHING);
    truth.networks.set("ida", AssignedNetwork.fromPartial({ id: "ida" }));
    sent.markNetworkStale("ida");
    expect(takenChanges(sent)).toEqual({ ...NOTHING, networks: ["ida"], names: ["ida/s1"] });
    truth.networks.delete("ida");
    sent.markNetworkStale("ida");
    expect(takenChanges(sent)).toEqual({ ...NOTHING, gone: ["ida"], goneNames: ["ida/s1"] });
  });
});
