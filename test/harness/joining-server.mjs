// Runs an etcd that joins a cluster, in a separate process for tests that kill it:
// node joining-server.mjs DATA_DIR ADDRESS SERVER. Prints a line once the etcd has a vote.
import { grpcTransport } from "@berth/proto/rpc";
import { pino } from "pino";
import { membershipRequests } from "../../packages/control-plane/dist/server/membership-requests.js";
import { startEmbeddedEtcd } from "../../packages/control-plane/dist/store/embedded/embedded-etcd.js";

const [dataDir, address, server] = process.argv.slice(2);
const requests = membershipRequests({ transport: grpcTransport, servers: [server] });
const logger = pino({ level: process.env.BERTH_TEST_LOG ?? "silent" }, pino.destination(2));
await startEmbeddedEtcd({ dataDir, member: { address, requests }, logger }, new AbortController().signal);
process.stdout.write("joined\n");
