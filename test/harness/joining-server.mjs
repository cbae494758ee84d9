// Runs an etcd that joins a cluster, in a separate process, for tests that kill it: node joining-server.mjs DATA_DIR
// IDENTITY_DIR ADDRESS SOCKET. Prints a line once the etcd has a vote.
import { IdentityDirectory } from "@berth/proto/identity";
import { createRpcClient } from "@berth/proto/rpc";
import { pino } from "pino";
import { membershipRequests } from "../../packages/control-plane/dist/server/membership-requests.js";
import { startEmbeddedEtcd } from "../../packages/control-plane/dist/store/embedded/embedded-etcd.js";

const [dataDir, identityDir, address, socket] = process.argv.slice(2);
const { paths: tls } = await IdentityDirectory.open(identityDir);
// The test answers the requests on a unix socket.
const transport = { connect: (definition) => createRpcClient(definition, { socket }) };
const member = { address, requests: membershipRequests({ transport, servers: [socket] }) };
const logger = pino({ level: process.env.BERTH_TEST_LOG ?? "silent" }, pino.destination(2));
await startEmbeddedEtcd({ dataDir, member, tls, logger }, new AbortController().signal);
process.stdout.write("joined\n");
