import { afterEach, beforeEach, expect } from "vitest";
import { startTestEtcd, type TestEtcd } from "../harness/etcd.js";
import { TestCluster } from "../harness/test-cluster.js";

/** The etcd and the cluster of the current test. */
export interface ClusterFixture {
  readonly etcd: TestEtcd;
  readonly cluster: TestCluster;
}

/**
 * Registers hooks that start an etcd and an empty cluster before each test, and close both after it. A test fails when
 * a fake agent saw the leader violate the protocol.
 */
export function useTestCluster(): ClusterFixture {
  let etcd: TestEtcd | undefined;
  let cluster: TestCluster | undefined;
  beforeEach(async () => {
    etcd = await startTestEtcd();
    cluster = new TestCluster(etcd.endpoint);
  });
  afterEach(async () => {
    const violations = await cluster?.close();
    await etcd?.close();
    expect(violations).toEqual([]);
  });
  return {
    get etcd() {
      return started(etcd);
    },
    get cluster() {
      return started(cluster);
    },
  };
}

function started<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("only available inside a test");
  return value;
}
