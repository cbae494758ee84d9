// Child process of the handshake benchmark: a TLS server that sends one byte on each connection. Reads its TlsMaterial
// from the first line of stdin and prints its port. Exits at the end of stdin, so that it does not outlive the
// benchmark.
import { once } from "node:events";
import { createInterface } from "node:readline";
import { createServer } from "node:tls";

const input = createInterface({ input: process.stdin });
input.once("close", () => process.exit());
const [line] = await once(input, "line");
const { authorities, leaf } = JSON.parse(line);
const server = createServer(
  {
    ca: authorities,
    cert: leaf.certificate,
    key: leaf.key,
    minVersion: "TLSv1.3",
    requestCert: true,
    ALPNProtocols: ["h2"],
  },
  (socket) => {
    socket.on("error", () => {});
    socket.write("x");
  },
);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
